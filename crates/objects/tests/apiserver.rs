//! What only a real API server knows: defaults, field managers, watches,
//! finalizers, who may do what.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use trunkline_engine::{Failure, FailureKind};
use trunkline_ids::{Address, ClusterEndpoint};
use trunkline_objects::*;

const SOON: Duration = Duration::from_secs(30);

fn silent(_: &str) {}

fn address(name: &str) -> Address {
    Address::new("addons", "thing", name)
}

fn config_map(name: &str, data: Value) -> Object {
    Object::build(
        ObjectRef::config_map("default", name),
        json!({ "data": data }),
    )
}

fn names(changes: &[trunkline_engine::Change]) -> Vec<&str> {
    changes.iter().map(|change| change.field.as_str()).collect()
}

fn stateful_set(name: &str) -> Object {
    Object::build(
        Kind::new("apps/v1", "StatefulSet").named("default", name),
        json!({"spec": {
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "hostNetwork": false, "nodeSelector": {},
                    "securityContext": {"runAsUser": 999},
                    "containers": [{
                        "name": "redis", "image": "redis:8",
                        "env": [{"name": "B", "value": "1"}, {"name": "A", "value": ""}],
                        "ports": [{"containerPort": 6379, "name": "redis"}],
                        "resources": {"requests": {"cpu": 1, "memory": "1024Mi"},
                                      "limits": {"cpu": "1500m", "memory": "1Gi"}},
                        "readinessProbe": {"exec": {"command": ["a", "b"]}},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}],
                },
            },
            "volumeClaimTemplates": [{
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "gp3",
                         "resources": {"requests": {"storage": "8192Mi"}}},
            }],
        }}),
    )
}

fn others() -> Vec<Object> {
    vec![
        config_map("kinds", json!({"a": "b"})),
        Object::build(
            ObjectRef::secret("default", "kinds"),
            json!({"type": "Opaque", "stringData": {"password": "p1"}}),
        ),
        Object::build(
            Kind::new("v1", "Service").named("default", "kinds"),
            json!({"spec": {"selector": {"a": "b"}, "ports": [
                {"name": "a", "port": 6379, "targetPort": "redis"}, {"name": "b", "port": 80}]}}),
        ),
        Object::build(
            Kind::new("storage.k8s.io/v1", "StorageClass").cluster_wide("kinds"),
            json!({"provisioner": "ebs.csi.eks.amazonaws.com", "reclaimPolicy": "Retain",
                   "parameters": {"type": "gp3"}, "allowVolumeExpansion": true}),
        ),
        Object::namespace_named("kinds"),
    ]
}

#[tokio::test]
async fn what_was_applied_differs_in_nothing_and_applying_again_writes_nothing() {
    let server = server_or_skip!("what_was_applied_differs_in_nothing");
    let cluster = server.admin();
    for object in others().into_iter().chain([stateful_set("kinds")]) {
        let wished = object.marked("sandbox", &address("kinds"));
        let first = cluster.apply(&wished, Conflicts::Refuse).await.unwrap();
        let live = cluster.get(wished.reference()).await.unwrap().unwrap();
        assert_eq!(diff(&wished, &live), [], "{wished:?}");
        let second = cluster.apply(&wished, Conflicts::Refuse).await.unwrap();
        let version = "/metadata/resourceVersion";
        // Controllers may have written a status meanwhile; the spec is untouched.
        assert_eq!(
            first.at("/metadata/generation"),
            second.at("/metadata/generation")
        );
        if first.at("/status").is_none() {
            assert_eq!(first.text(version), second.text(version), "{wished:?}");
        }
    }
}

#[tokio::test]
async fn changed_added_and_dropped_fields_are_seen_and_then_gone() {
    let server = server_or_skip!("changed_added_and_dropped_fields");
    let cluster = server.admin();
    let mut body = stateful_set("changes").into_body();
    body["metadata"]["labels"] = json!({"kept": "1", "dropped": "1"});
    let before = Object::new(body.clone()).unwrap();
    cluster.apply(&before, Conflicts::Refuse).await.unwrap();
    body["metadata"]["labels"] = json!({"kept": "1"});
    let container = &mut body["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!("redis:9");
    container["env"] = json!([{"name": "B", "value": "1"}]);
    body["spec"]["replicas"] = json!(2);
    let after = Object::new(body).unwrap();
    let live = cluster.get(after.reference()).await.unwrap().unwrap();
    let mut seen = diff(&after, &live);
    seen.sort_by(|a, b| a.field.cmp(&b.field));
    assert_eq!(
        names(&seen),
        [
            "metadata.labels.dropped",
            "spec.replicas",
            "spec.template.spec.containers.[redis].env.[A]",
            "spec.template.spec.containers.[redis].image",
        ]
    );
    cluster.apply(&after, Conflicts::Refuse).await.unwrap();
    let live = cluster.get(after.reference()).await.unwrap().unwrap();
    assert_eq!(diff(&after, &live), []);
}

#[tokio::test]
async fn fields_of_others_are_refused_or_taken() {
    let server = server_or_skip!("fields_of_others_are_refused_or_taken");
    let cluster = server.admin();
    let wished = config_map("foreign", json!({"a": "ours"}));
    cluster.apply(&wished, Conflicts::Refuse).await.unwrap();
    // As somebody else's `kubectl edit`.
    let path = "/api/v1/namespaces/default/configmaps/foreign?fieldManager=kubectl-edit";
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(json!({"data": {"a": "theirs"}}).to_string().into_bytes())
        .unwrap();
    cluster.client().request::<Value>(request).await.unwrap();
    let refused = cluster.apply(&wished, Conflicts::Refuse).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Conflict);
    assert!(refused.to_string().contains("kubectl-edit"), "{refused}");
    assert!(!refused.is_unclear());
    let taken = cluster.apply(&wished, Conflicts::Force).await.unwrap();
    assert_eq!(taken.text("/data/a"), Some("ours"));
}

#[tokio::test]
async fn a_misspelt_field_is_refused() {
    let server = server_or_skip!("a_misspelt_field_is_refused");
    let mut body = stateful_set("misspelt").into_body();
    body["spec"]["replica"] = json!(1);
    let failure = server
        .admin()
        .apply(&Object::new(body).unwrap(), Conflicts::Force)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    assert!(failure.to_string().contains("replica"), "{failure}");
}

#[tokio::test]
async fn what_is_made_once_is_left_alone() {
    let server = server_or_skip!("what_is_made_once_is_left_alone");
    let cluster = server.admin();
    let secret = |value: &str| {
        Object::build(
            ObjectRef::secret("default", "once"),
            json!({"stringData": {"p": value}}),
        )
    };
    assert!(matches!(
        cluster.create(&secret("first")).await.unwrap(),
        Created::New(_)
    ));
    assert_eq!(
        cluster.create(&secret("second")).await.unwrap(),
        Created::AlreadyThere
    );
    let kept = cluster.get(secret("").reference()).await.unwrap().unwrap();
    assert_eq!(diff(&secret("first"), &kept), []);
}

#[tokio::test]
async fn refusals_are_told_apart_and_never_read_as_absent() {
    let server = server_or_skip!("refusals_are_told_apart");
    let target = ObjectRef::secret("default", "no-such-secret");
    assert_eq!(server.admin().get(&target).await.unwrap(), None);
    let unknown = server.with_token("wrong").get(&target).await.unwrap_err();
    assert_eq!(
        (unknown.kind, unknown.cause.code.as_str()),
        (FailureKind::Denied, "Unauthorized")
    );
    let nobody = server.with_token(support::NOBODY);
    let failure = nobody.get(&target).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.cause.code.as_str()),
        (FailureKind::Denied, "Forbidden")
    );
    let selection = Selection::default();
    let failure = nobody
        .list(&Kind::new("v1", "Secret"), &selection)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(matches!(
        nobody.observe(&target).await,
        trunkline_engine::Observed::Unknown(_)
    ));
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passing_and_a_wrong_authority_is_not() {
    let server = server_or_skip!("an_endpoint_that_refuses");
    let connect = |url: String, authority: String| {
        let endpoint = ClusterEndpoint {
            name: "x".into(),
            url,
            certificate_authority: authority,
        };
        Cluster::connect(&endpoint, Arc::new(FixedToken::new(support::ADMIN))).unwrap()
    };
    let authority = server.endpoint.certificate_authority.clone();
    // Bound and closed again: nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let cluster = connect(format!("https://{free}"), authority);
    let failure = cluster.version().await.unwrap_err();
    assert!(failure.is_passing() && !failure.is_unclear(), "{failure:?}");
    let heard = Mutex::new(0);
    let count = |_: &str| *heard.lock().unwrap() += 1;
    assert!(
        cluster
            .reachable(Duration::from_millis(300), &count)
            .await
            .is_err()
    );
    assert!(*heard.lock().unwrap() > 0);

    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let cluster = connect(server.endpoint.url.clone(), other.cert.pem());
    let failure = cluster.version().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure:?}");
    assert!(failure.to_string().contains("certificate"), "{failure}");
}

#[tokio::test]
async fn a_kind_that_comes_later_is_found() {
    let server = server_or_skip!("a_kind_that_comes_later_is_found");
    let cluster = server.admin();
    let kind = Kind::new("later.trunkline.dev/v1", "Thing");
    let thing = Object::build(
        kind.cluster_wide("a"),
        json!({"spec": {"list": [{"a": 1}]}}),
    );
    assert_eq!(cluster.get(thing.reference()).await.unwrap(), None);
    assert_eq!(
        cluster.list(&kind, &Selection::default()).await.unwrap(),
        []
    );
    let failure = cluster.apply(&thing, Conflicts::Force).await.unwrap_err();
    assert!(failure.is_passing() && !failure.is_unclear(), "{failure:?}");
    let crd = Object::build(
        Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition")
            .cluster_wide("things.later.trunkline.dev"),
        json!({"spec": {
            "group": "later.trunkline.dev", "scope": "Cluster",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object",
                    "x-kubernetes-preserve-unknown-fields": true}}}],
        }}),
    );
    cluster.apply(&crd, Conflicts::Refuse).await.unwrap();
    support::eventually("the new kind is served", async || {
        cluster.apply(&thing, Conflicts::Refuse).await.is_ok()
    })
    .await;
    let live = cluster.get(thing.reference()).await.unwrap().unwrap();
    assert_eq!(diff(&thing, &live), []);
    let api_versions = cluster.api_versions().await.unwrap();
    assert!(api_versions.contains(&"later.trunkline.dev/v1/Thing".to_owned()));
}

#[tokio::test]
async fn a_wait_hears_words_and_ends_with_the_condition() {
    let server = server_or_skip!("a_wait_hears_words");
    let cluster = server.admin();
    let target = ObjectRef::config_map("default", "waited");
    let heard = Mutex::new(Vec::new());
    let notify = |words: &str| heard.lock().unwrap().push(words.to_owned());
    let condition = |found: Option<&Object>| match found.map(|one| one.text("/data/step")) {
        None => Verdict::Waiting("not there".into()),
        Some(Some("2")) => Verdict::Done,
        Some(step) => Verdict::Waiting(format!("at step {}", step.unwrap_or("?"))),
    };
    let steps = async {
        let at = |n: &str| config_map("waited", json!({ "step": n }));
        let spoken = async |n: usize| {
            support::eventually("the wait speaks", async || heard.lock().unwrap().len() >= n).await;
        };
        spoken(1).await;
        cluster.apply(&at("1"), Conflicts::Refuse).await.unwrap();
        spoken(2).await;
        cluster.apply(&at("2"), Conflicts::Refuse).await.unwrap();
    };
    let (found, ()) = tokio::join!(cluster.wait(&target, SOON, condition, &notify), steps);
    assert_eq!(found.unwrap().unwrap().text("/data/step"), Some("2"));
    assert_eq!(*heard.lock().unwrap(), ["not there", "at step 1"]);
}

#[tokio::test]
async fn a_wait_ends_early_when_it_is_hopeless_or_refused_and_late_with_words() {
    let server = server_or_skip!("a_wait_ends_early");
    let cluster = server.admin();
    let target = ObjectRef::config_map("default", "never");
    let hopeless = |_: Option<&Object>| Verdict::Failed(Failure::bug("hopeless"));
    let failure = cluster
        .wait(&target, SOON, hopeless, &silent)
        .await
        .unwrap_err();
    assert_eq!(failure.cause.message, "hopeless");
    let patient = |_: Option<&Object>| Verdict::Waiting("for a sign".into());
    let failure = cluster
        .wait(&target, Duration::from_millis(300), patient, &silent)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Stopped);
    assert!(failure.to_string().contains("for a sign"), "{failure}");
    let nobody = server.with_token(support::NOBODY);
    let failure = nobody
        .wait(&target, SOON, patient, &silent)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
}

#[tokio::test]
async fn a_deletion_waits_for_finalizers_and_names_them() {
    let server = server_or_skip!("a_deletion_waits_for_finalizers");
    let cluster = server.admin();
    let held = config_map("held", json!({}));
    let mut body = held.into_body();
    body["metadata"]["finalizers"] = json!(["trunkline.dev/test"]);
    let held = Object::new(body).unwrap();
    cluster.apply(&held, Conflicts::Refuse).await.unwrap();
    let target = held.reference();
    let short = Duration::from_millis(300);
    let failure = cluster
        .delete_and_wait(target, Propagation::Background, short, &silent)
        .await
        .unwrap_err();
    assert!(
        failure.to_string().contains("held by trunkline.dev/test"),
        "{failure}"
    );
    let release = async {
        cluster
            .patch(target, &json!({"metadata": {"finalizers": null}}))
            .await
            .unwrap();
    };
    let delete = cluster.delete_and_wait(target, Propagation::Background, SOON, &silent);
    let (gone, ()) = tokio::join!(delete, release);
    // Either it was still there to be waited for, or the patch came first.
    gone.unwrap();
    assert_eq!(cluster.get(target).await.unwrap(), None);
    let again = cluster
        .delete_and_wait(target, Propagation::Background, SOON, &silent)
        .await;
    assert!(!again.unwrap());
}

#[tokio::test]
async fn only_the_very_object_is_deleted() {
    let server = server_or_skip!("only_the_very_object_is_deleted");
    let cluster = server.admin();
    let object = config_map("very", json!({}));
    cluster.apply(&object, Conflicts::Refuse).await.unwrap();
    let other = Some("00000000-0000-0000-0000-000000000000");
    let failure = cluster
        .delete(object.reference(), Propagation::Background, other)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert!(
        cluster
            .delete(object.reference(), Propagation::Background, None)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_rollout_is_waited_for() {
    let server = server_or_skip!("a_rollout_is_waited_for");
    let cluster = server.admin();
    let wished = stateful_set("rollout");
    cluster.apply(&wished, Conflicts::Refuse).await.unwrap();
    let target = wished.reference();
    let heard = Mutex::new(Vec::new());
    let notify = |words: &str| heard.lock().unwrap().push(words.to_owned());
    let failure = cluster
        .rolled_out(target, Duration::from_secs(1), &notify)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Stopped);
    // No node is there: the one pod stays unready for ever.
    assert!(failure.to_string().contains("rollout"), "{failure}");
    let none = json!({"spec": {"replicas": 0}});
    cluster.patch(target, &none).await.unwrap();
    // The pod is bound to no node: it goes at once.
    cluster.rolled_out(target, SOON, &notify).await.unwrap();
}

#[tokio::test]
async fn kinds_are_recorded_and_what_is_no_longer_wished_is_found() {
    let server = server_or_skip!("kinds_are_recorded");
    let cluster = server.admin();
    let inventory = Inventory::of("inventoried");
    let class = |name: &str| {
        Object::build(
            Kind::new("storage.k8s.io/v1", "StorageClass").cluster_wide(name),
            json!({"provisioner": "x"}),
        )
        .marked("inventoried", &address(name))
    };
    let secret = Object::build(ObjectRef::secret("default", "inventoried"), json!({}))
        .marked("inventoried", &address("secret"));
    let foreign = class("inventory-foreign").marked("other", &address("foreign"));
    // Two at once: neither may lose the other's kind.
    let (a, b) = (class("inventory-a"), class("inventory-b"));
    let applied = tokio::join!(
        inventory.apply(&cluster, &a, Conflicts::Refuse),
        inventory.apply(&cluster, &b, Conflicts::Refuse),
        inventory.apply(&cluster, &secret, Conflicts::Refuse),
        inventory.apply(&cluster, &foreign, Conflicts::Refuse),
    );
    applied.0.unwrap();
    applied.1.unwrap();
    applied.2.unwrap();
    applied.3.unwrap();
    let kinds = inventory.kinds(&cluster).await.unwrap();
    for kind in ["Secret", "StorageClass.storage.k8s.io"] {
        assert!(kinds.contains(&kind.parse().unwrap()), "{kinds:?}");
    }
    let owned = inventory.owned(&cluster, []).await.unwrap();
    let wished = [a];
    let mut names: Vec<&str> = surplus("addons", &wished, &owned)
        .into_iter()
        .map(Object::name)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["inventoried", "inventory-b"]);
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_by_metadata() {
    let server = server_or_skip!("lists_are_read_page_by_page");
    let cluster = server.admin();
    let many = (0..3).map(|n| {
        config_map(&format!("page-{n}"), json!({"large": "x".repeat(1000)}))
            .with_label("page", "yes")
    });
    for object in many {
        cluster.apply(&object, Conflicts::Refuse).await.unwrap();
    }
    let kind = Kind::new("v1", "ConfigMap");
    let nothing = Selection::labelled("page=no");
    assert_eq!(cluster.list(&kind, &nothing).await.unwrap(), []);
    assert_eq!(
        cluster.list(&kind, &nothing.metadata_only()).await.unwrap(),
        []
    );
    let selection = Selection::labelled("page=yes");
    let full = cluster.list(&kind, &selection).await.unwrap();
    assert_eq!(full.len(), 3);
    assert!(
        full.iter()
            .all(|one| one.at("/data/large").is_some() && one.kind() == &kind)
    );
    let short = cluster
        .list(&kind, &selection.metadata_only())
        .await
        .unwrap();
    assert_eq!(short.len(), 3);
    assert!(
        short
            .iter()
            .all(|one| one.at("/data").is_none() && one.label("page").is_some())
    );
}

struct Counting(AtomicU32, jiff::SignedDuration);

#[async_trait::async_trait]
impl TokenSource for Counting {
    async fn token(&self) -> Result<Token, Failure> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let expires = jiff::Timestamp::now() + self.1;
        Ok(Token {
            secret: support::ADMIN.into(),
            expires,
        })
    }
}

#[tokio::test]
async fn an_ended_token_is_made_anew_for_the_next_request() {
    let server = server_or_skip!("an_ended_token_is_made_anew");
    for (lives, expected) in [(15, 1), (-1, 3)] {
        let lives = jiff::SignedDuration::from_mins(lives);
        let source = Arc::new(Counting(AtomicU32::new(0), lives));
        let cluster = Cluster::connect(&server.endpoint, source.clone()).unwrap();
        for _ in 0..3 {
            cluster.version().await.unwrap();
        }
        assert_eq!(source.0.load(Ordering::SeqCst), expected);
    }
}
