//! A real helm against a real API server: what is installed, what is left when
//! helm is killed, and how the next run goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

#[path = "../../objects/tests/support/mod.rs"]
mod support;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use serde_json::{Value, json};
use trunkline_engine::FailureKind;
use trunkline_helm_wrapper::*;
use trunkline_objects::*;
use trunkline_tools::{Tool, lookup};

const SOON: Duration = Duration::from_secs(60);
const HOW: Installing = Installing {
    timeout: SOON,
    pending: Pending::Recover,
};

fn silent(_: &str) {}

async fn helm(test: &str) -> Option<Helm> {
    let Some(found) = lookup(Tool::Helm) else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIP {test}: helm is not there: cargo xtask tools"
        );
        return None;
    };
    Some(Helm::at(found.path).await.unwrap())
}

/// A chart with a ConfigMap, an object that is kept, a CRD, and a hook that never
/// ends on a cluster without nodes.
struct Sample {
    folder: tempfile::TempDir,
}

impl Sample {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self { folder };
        this.write(
            "Chart.yaml",
            &format!("apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: v9\n"),
        );
        this.write("values.yaml", "value: one\nhook: false\nreplicas: 0\n");
        this.write("templates/config.yaml", concat!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n",
            "data:\n  value: {{ .Values.value | quote }}\n",
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-kept\n",
            "  annotations: {helm.sh/resource-policy: keep}\n",
        ));
        this.write(
            "templates/deployment.yaml",
            concat!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Release.Name }}\n",
                "  labels: {app.kubernetes.io/instance: {{ .Release.Name }}}\n",
                "spec:\n  replicas: {{ .Values.replicas }}\n",
                "  selector: {matchLabels: {app: {{ .Release.Name }}}}\n",
                "  template:\n    metadata: {labels: {app: {{ .Release.Name }}, app.kubernetes.io/instance: {{ .Release.Name }}}}\n",
                "    spec: {containers: [{name: a, image: a}]}\n",
            ),
        );
        this.write("templates/hook.yaml", concat!(
            "{{- if .Values.hook }}\napiVersion: batch/v1\nkind: Job\nmetadata:\n",
            "  name: {{ .Release.Name }}-hook\n  annotations:\n",
            "    helm.sh/hook: post-install,post-upgrade\n",
            "    helm.sh/hook-delete-policy: before-hook-creation\n",
            "spec:\n  template:\n    spec: {restartPolicy: Never, containers: [{name: a, image: a}]}\n",
            "{{- end }}\n",
            "{{- if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" }}\n---\n",
            "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\n{{- end }}\n",
        ));
        this
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn release(&self, name: &str, values: Value) -> Release {
        Release {
            name: name.into(),
            namespace: name.into(),
            chart: Chart::at(self.folder.path()).unwrap(),
            values,
        }
    }
}

async fn namespace(cluster: &Cluster, name: &str) {
    cluster
        .apply(&Object::namespace_named(name), Conflicts::Refuse)
        .await
        .unwrap();
}

async fn value_of(cluster: &Cluster, name: &str) -> Option<String> {
    let found = cluster
        .get(&ObjectRef::config_map(name, name))
        .await
        .unwrap();
    found.and_then(|one| one.text("/data/value").map(str::to_owned))
}

/// The pids of helms that work on a release, by their arguments.
fn helms_of(name: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter(|entry| {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
        arguments.len() > 2 && arguments[1] == b"upgrade" && arguments[2] == name.as_bytes()
    })
    .map(|entry| entry.file_name().to_string_lossy().into_owned())
    .collect()
}

#[tokio::test]
async fn installs_and_is_settled_by_label_until_an_input_changes() {
    let server = server_or_skip!("installs_and_is_settled_by_label");
    let Some(helm) = helm("installs_and_is_settled_by_label").await else {
        return;
    };
    let cluster = server.admin();
    let sample = Sample::new("settled");
    namespace(&cluster, "settled").await;
    let one = sample.release("settled", json!({"value": "one"}));
    assert_eq!(
        installed_one(&cluster, "settled", "settled").await.unwrap(),
        None
    );
    helm.upgrade_install(&cluster, &one, HOW, &silent)
        .await
        .unwrap();
    assert_eq!(value_of(&cluster, "settled").await.as_deref(), Some("one"));

    let all = installed(&cluster).await.unwrap();
    let found = all
        .iter()
        .find(|release| release.name == "settled")
        .unwrap();
    assert_eq!((found.revision, found.status), (1, Status::Deployed));
    assert!(found.is_settled(&one.inputs()));
    let two = sample.release("settled", json!({"value": "two"}));
    assert!(!found.is_settled(&two.inputs()));

    helm.upgrade_install(&cluster, &two, HOW, &silent)
        .await
        .unwrap();
    assert_eq!(value_of(&cluster, "settled").await.as_deref(), Some("two"));
    let found = installed_one(&cluster, "settled", "settled")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.revision, found.is_settled(&two.inputs())), (2, true));
}

#[tokio::test]
async fn a_field_that_somebody_changed_is_taken_back() {
    let server = server_or_skip!("a_field_that_somebody_changed");
    let Some(helm) = helm("a_field_that_somebody_changed").await else {
        return;
    };
    let cluster = server.admin();
    let sample = Sample::new("foreign");
    namespace(&cluster, "foreign").await;
    let release = sample.release("foreign", json!({"value": "one"}));
    helm.upgrade_install(&cluster, &release, HOW, &silent)
        .await
        .unwrap();
    let request = http::Request::patch(
        "/api/v1/namespaces/foreign/configmaps/foreign?fieldManager=kubectl-edit",
    )
    .header("content-type", "application/merge-patch+json")
    .body(
        json!({"data": {"value": "theirs"}})
            .to_string()
            .into_bytes(),
    )
    .unwrap();
    cluster.client().request::<Value>(request).await.unwrap();
    let next = sample.release("foreign", json!({"value": "two"}));
    helm.upgrade_install(&cluster, &next, HOW, &silent)
        .await
        .unwrap();
    assert_eq!(value_of(&cluster, "foreign").await.as_deref(), Some("two"));
}

#[tokio::test]
async fn killed_in_the_middle_it_goes_on() {
    let server = server_or_skip!("killed_in_the_middle_it_goes_on");
    let Some(helm) = helm("killed_in_the_middle_it_goes_on").await else {
        return;
    };
    let cluster = server.admin();
    let sample = Sample::new("killed");
    namespace(&cluster, "killed").await;
    // The hook never ends here: helm waits for it until it is killed.
    let stuck = sample.release("killed", json!({"hook": true}));
    let job = Kind::new("batch/v1", "Job").named("killed", "killed-hook");
    let (installing, killing) = tokio::join!(
        helm.upgrade_install(&cluster, &stuck, HOW, &silent),
        async {
            support::eventually("the hook's job is there", async || {
                cluster.get(&job).await.unwrap().is_some()
            })
            .await;
            let pids = helms_of("killed");
            assert_eq!(pids.len(), 1);
            Command::new("kill")
                .args(["-9", &pids[0]])
                .status()
                .unwrap()
        }
    );
    assert!(killing.success());
    let failure = installing.unwrap_err();
    assert!(failure.to_string().contains("signal: 9"), "{failure}");
    assert!(failure.is_unclear());
    let found = installed_one(&cluster, "killed", "killed")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.status, Status::Pending);
    assert!(!found.is_settled(&stuck.inputs()));

    let next = sample.release("killed", json!({"value": "next"}));
    // The control: without the recovery it stays stuck for ever.
    let refuse = Installing {
        pending: Pending::Refuse,
        ..HOW
    };
    let failure = helm
        .upgrade_install(&cluster, &next, refuse, &silent)
        .await
        .unwrap_err();
    assert_eq!(
        (failure.kind, failure.is_unclear()),
        (FailureKind::Conflict, false)
    );

    let heard = Mutex::new(Vec::new());
    let notify = |words: &str| heard.lock().unwrap().push(words.to_owned());
    helm.upgrade_install(&cluster, &next, HOW, &notify)
        .await
        .unwrap();
    assert!(
        heard.lock().unwrap()[0].contains("killed in the middle"),
        "{heard:?}"
    );
    assert_eq!(value_of(&cluster, "killed").await.as_deref(), Some("next"));
    let found = installed_one(&cluster, "killed", "killed")
        .await
        .unwrap()
        .unwrap();
    assert!(found.is_settled(&next.inputs()));
}

#[tokio::test]
async fn dropping_the_future_ends_helm() {
    let server = server_or_skip!("dropping_the_future_ends_helm");
    let Some(helm) = helm("dropping_the_future_ends_helm").await else {
        return;
    };
    let cluster = server.admin();
    let sample = Sample::new("dropped");
    namespace(&cluster, "dropped").await;
    let stuck = sample.release("dropped", json!({"hook": true}));
    let job = Kind::new("batch/v1", "Job").named("dropped", "dropped-hook");
    tokio::select! {
        ended = helm.upgrade_install(&cluster, &stuck, HOW, &silent) => panic!("{ended:?}"),
        () = support::eventually("the hook's job is there", async || {
            cluster.get(&job).await.unwrap().is_some()
        }) => {}
    }
    support::eventually("helm is gone", async || helms_of("dropped").is_empty()).await;
}

#[tokio::test]
async fn what_is_not_ready_in_time_is_named() {
    let server = server_or_skip!("what_is_not_ready_in_time");
    let Some(helm) = helm("what_is_not_ready_in_time").await else {
        return;
    };
    let cluster = server.admin();
    let sample = Sample::new("unready");
    namespace(&cluster, "unready").await;
    // No node is there: its pod stays pending.
    let release = sample.release("unready", json!({"replicas": 1}));
    let how = Installing {
        timeout: Duration::from_secs(5),
        ..HOW
    };
    let heard = Mutex::new(Vec::new());
    let notify = |words: &str| heard.lock().unwrap().push(words.to_owned());
    let failure = helm
        .upgrade_install(&cluster, &release, how, &notify)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Stopped, "{failure}");
    assert!(
        failure.to_string().contains("not ready: unready 0/1 ready"),
        "{failure}"
    );
    assert!(
        heard
            .lock()
            .unwrap()
            .iter()
            .any(|words| words.contains("pod unready-"))
    );
    let found = installed_one(&cluster, "unready", "unready")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.status, Status::Failed);
}

#[tokio::test]
async fn an_uninstall_waits_until_all_is_gone_and_says_what_stays() {
    let server = server_or_skip!("an_uninstall_waits");
    let Some(helm) = helm("an_uninstall_waits").await else {
        return;
    };
    let cluster = server.admin();
    let sample = Sample::new("gone");
    namespace(&cluster, "gone").await;
    let nothing = helm
        .uninstall(&cluster, "gone", "gone", SOON, &silent)
        .await
        .unwrap();
    assert_eq!(nothing, Uninstalled::default());
    let release = sample.release("gone", json!({}));
    helm.upgrade_install(&cluster, &release, HOW, &silent)
        .await
        .unwrap();
    let done = helm
        .uninstall(&cluster, "gone", "gone", SOON, &silent)
        .await
        .unwrap();
    assert_eq!(done.kept, [ObjectRef::config_map("gone", "gone-kept")]);
    assert_eq!(done.gone.len(), 2);
    for target in &done.gone {
        assert_eq!(cluster.get(target).await.unwrap(), None, "{target}");
    }
    let sets = Kind::new("apps/v1", "ReplicaSet");
    let selection = Selection::labelled("app=gone");
    assert_eq!(cluster.list(&sets, &selection).await.unwrap(), []);
    assert!(cluster.get(&done.kept[0]).await.unwrap().is_some());
    assert_eq!(installed_one(&cluster, "gone", "gone").await.unwrap(), None);
}

#[tokio::test]
async fn a_refused_identity_is_denied() {
    let server = server_or_skip!("a_refused_identity");
    let Some(helm) = helm("a_refused_identity").await else {
        return;
    };
    let sample = Sample::new("refused");
    let release = sample.release("refused", json!({}));
    let nobody = server.with_token(support::NOBODY);
    let failure = helm
        .upgrade_install(&nobody, &release, HOW, &silent)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
}

#[tokio::test]
async fn renders_without_a_cluster() {
    let Some(helm) = helm("renders_without_a_cluster").await else {
        return;
    };
    let sample = Sample::new("rendered");
    let release = sample.release("rendered", json!({"hook": true, "value": "no: \"quotes\""}));
    let mut capabilities = Capabilities {
        kube_version: "1.35".into(),
        api_versions: vec![],
    };
    let all = helm.render(&release, &capabilities).await.unwrap();
    let mut names: Vec<String> = all.iter().map(|one| one.reference().to_string()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "ConfigMap rendered",
            "ConfigMap rendered-kept",
            "Deployment rendered",
            "Job rendered-hook"
        ]
    );
    assert_eq!(all.iter().filter(|one| is_hook(one)).count(), 1);
    assert_eq!(all.iter().filter(|one| is_kept(one)).count(), 1);
    let config = all.iter().find(|one| one.name() == "rendered").unwrap();
    assert_eq!(config.text("/data/value"), Some("no: \"quotes\""));
    capabilities.api_versions = vec!["monitoring.coreos.com/v1".into()];
    assert_eq!(helm.render(&release, &capabilities).await.unwrap().len(), 5);

    let failure = helm
        .render(
            &sample.release("rendered", json!(["no map"])),
            &capabilities,
        )
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    sample.write("templates/broken.yaml", "{{ fail \"on purpose\" }}");
    let failure = helm
        .render(&sample.release("rendered", json!({})), &capabilities)
        .await
        .unwrap_err();
    assert!(failure.to_string().contains("on purpose"), "{failure}");
}

#[tokio::test]
async fn our_own_chart_renders_with_the_values_of_both_environments() {
    let Some(helm) = helm("our_own_chart_renders").await else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let chart = Chart::at(&root.join("charts/redis")).unwrap();
    let private = tempfile::tempdir().unwrap();
    for environment in ["sandbox", "live"] {
        let values = root.join(format!("gitops/{environment}/redis.yaml"));
        let text = fs::read_to_string(values).unwrap();
        let release = Release {
            name: "redis".into(),
            namespace: "redis".into(),
            chart: chart.clone(),
            values: serde_saphyr::from_str(&text).unwrap(),
        };
        let capabilities = Capabilities {
            kube_version: "1.35".into(),
            api_versions: vec![],
        };
        let all = helm.render(&release, &capabilities).await.unwrap();
        let set = all
            .iter()
            .find(|one| one.kind().kind == "StatefulSet")
            .unwrap();
        assert_eq!(set.number("/spec/replicas"), Some(1));
        let claim = set.at("/spec/volumeClaimTemplates/0/spec").unwrap();
        assert_eq!(claim["storageClassName"], "gp3-retain");
        let text: String = all.iter().map(|one| one.body().to_string()).collect();
        assert!(
            !text.contains("requirepass \\\"redis"),
            "a password in the manifests"
        );
        let bad = Release {
            values: json!({"durability": {"appendfsync": "no"}}),
            ..release
        };
        let failure = helm.render(&bad, &capabilities).await.unwrap_err();
        assert!(failure.to_string().contains("appendfsync"), "{failure}");
    }
    drop(private);
}

#[tokio::test]
async fn charts_are_pulled_from_a_repository_into_the_cache() {
    let Some(helm) = helm("charts_are_pulled").await else {
        return;
    };
    let sample = Sample::new("pulled");
    let site = tempfile::tempdir().unwrap();
    let packed = Command::new(helm.binary())
        .args(["package", "--destination"])
        .arg(site.path())
        .arg(sample.folder.path())
        .output()
        .unwrap();
    assert!(packed.status.success());
    let index = Command::new(helm.binary())
        .args(["repo", "index"])
        .arg(site.path())
        .output()
        .unwrap();
    assert!(index.status.success());
    let url = serve(site.path().to_owned());
    let cache = tempfile::tempdir().unwrap();
    let source = ChartSource::parse(&url);
    let chart = helm
        .chart(&source, "pulled", "1.2.3", cache.path())
        .await
        .unwrap();
    assert_eq!(
        (chart.version.as_str(), chart.app_version.as_deref()),
        ("1.2.3", Some("v9"))
    );
    assert!(chart.path.starts_with(cache.path()) && chart.path.is_file());
    // The same chart out of a folder is the same release.
    let folder = ChartSource::Folder(site.path().to_owned());
    let same = helm
        .chart(&folder, "pulled", "1.2.3", cache.path())
        .await
        .unwrap();
    assert_eq!(chart.digest, same.digest);
    let failure = helm
        .chart(&source, "pulled", "9.9.9", cache.path())
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    let nowhere = ChartSource::parse("http://127.0.0.1:9");
    let failure = helm
        .chart(&nowhere, "pulled", "1.2.3", cache.path())
        .await
        .unwrap_err();
    assert!(failure.is_passing(), "{failure}");
}

/// Serves a folder over HTTP from a thread, as a chart mirror does.
fn serve(folder: PathBuf) -> String {
    use std::io::{BufRead, BufReader};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let name = first
                .split_whitespace()
                .nth(1)
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap();
            let found = fs::read(folder.join(name));
            let (status, body) = found.map_or(("404 Not Found", vec![]), |body| ("200 OK", body));
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    url
}

#[tokio::test]
async fn a_helm_that_is_missing_or_too_old_is_said() {
    let failure = Helm::at("/no/such/helm").await.unwrap_err();
    assert!(
        failure.next.is_some() && !failure.is_unclear(),
        "{failure:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("helm");
    fs::write(&old, "#!/bin/sh\necho v3.18.4\n").unwrap();
    Command::new("chmod").arg("755").arg(&old).status().unwrap();
    let failure = Helm::at(&old).await.unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("is Helm v3.18.4: Helm 4 is needed"),
        "{failure}"
    );
}

#[tokio::test]
async fn helm_gets_nothing_of_our_environment_and_no_values_as_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let spy = folder.path().join("helm");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && echo v4.0.0 && exit\n\
         {{ echo \"$@\"; /usr/bin/env; }} > {}\n",
        seen.display()
    );
    fs::write(&spy, script).unwrap();
    Command::new("chmod").arg("755").arg(&spy).status().unwrap();
    let helm = Helm::at(&spy)
        .await
        .unwrap()
        .passing("HTTPS_PROXY", "http://proxy");
    let sample = Sample::new("spied");
    let release = sample.release("spied", json!({"value": "never-an-argument"}));
    let capabilities = Capabilities {
        kube_version: "1.35".into(),
        api_versions: vec![],
    };
    helm.render(&release, &capabilities).await.unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    assert!(!seen.contains("never-an-argument"), "{seen}");
    assert!(seen.contains("HTTPS_PROXY=http://proxy"));
    // The test itself has a PATH and, under cargo, a CARGO_MANIFEST_DIR.
    assert!(!seen.contains("CARGO_MANIFEST_DIR="), "{seen}");
}
