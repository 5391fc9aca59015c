//! What happened, as the front's record and the API servers' audit logs tell
//! it: which resource was created, updated or deleted. Compared with what a
//! plan said would happen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Stack;

/// Addresses with verbs.
pub(crate) type Pairs = BTreeSet<(String, String)>;

/// The pairs of a plan's JSON.
pub(crate) fn planned(plan: &Value) -> Pairs {
    let steps = plan["steps"].as_array().unwrap();
    let pair = |step: &Value| (text(&step["address"]), text(&step["verb"]));
    steps.iter().map(pair).collect()
}

/// Which id, and which Kubernetes object, stands for which address. Learnt from
/// creates and from marks, remembered for deletes.
#[derive(Default)]
pub(crate) struct Known {
    ids: BTreeMap<String, String>,
    /// By plural, namespace and name.
    objects: BTreeMap<[String; 3], String>,
}

/// The kinds that Trunkline itself writes.
const KINDS: &str = "namespaces,secrets,storageclasses,nodeclasses,nodepools,\
                     appprojects,applications";

impl Known {
    /// Reads the addresses off the objects of a cluster.
    pub(crate) fn learn(&mut self, stack: &Stack, environment: &str) {
        let ours = format!(
            "app.kubernetes.io/managed-by=trunkline,trunkline.dev/environment={environment}"
        );
        let list = stack.get(environment, &[KINDS, "-A", "-l", &ours]);
        for object in list["items"].as_array().unwrap() {
            let meta = &object["metadata"];
            let address = text(&meta["annotations"]["trunkline.dev/address"]);
            let key = [
                plural(&text(&object["kind"])),
                text(&meta["namespace"]),
                text(&meta["name"]),
            ];
            self.objects.insert(key, address);
        }
    }

    /// What happened according to these calls and audit events.
    pub(crate) fn happened(&mut self, calls: &[Value], audit: &[Value]) -> Pairs {
        let mut seen = Seen::default();
        for call in calls.iter().filter(|call| done(call)) {
            self.call(call, &mut seen);
        }
        for event in audit.iter().filter(|event| is_write_of_ours(event)) {
            self.event(event, &mut seen);
        }
        seen.pairs()
    }

    fn call(&mut self, call: &Value, seen: &mut Seen) {
        let action = text(&call["action"]);
        let ids: Vec<String> = call["ids"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect();
        let address = self
            .owner(&action, &ids)
            .unwrap_or_else(|| text(&call["resource"]));
        let verb = verb(&action);
        // An association is known by its own id alone when it is undone.
        let gives_id = verb == "create" || action == "AssociateRouteTable";
        if let Some(id) = ids.last().filter(|_| gives_id) {
            self.ids.insert(id.clone(), address.clone());
        }
        seen.add(address, verb);
    }

    /// Of a call about a part of a resource, the resource.
    fn owner(&self, action: &str, ids: &[String]) -> Option<String> {
        let prefix = match action {
            "AttachInternetGateway" | "DetachInternetGateway" => "igw-",
            "CreateRoute" | "ReplaceRoute" | "DeleteRoute" => "rtb-",
            "AssociateRouteTable" => "rtb-",
            "DisassociateRouteTable" => "rtbassoc-",
            _ => return None,
        };
        let id = ids.iter().find(|id| id.starts_with(prefix));
        self.ids.get(id?).cloned()
    }

    fn event(&self, event: &Value, seen: &mut Seen) {
        let object = &event["objectRef"];
        let key = ["resource", "namespace", "name"].map(|field| text(&object[field]));
        if text(&event["userAgent"]).starts_with("Helm/") {
            seen.add("addons/release/argo-cd".to_owned(), helms(&key, event));
            return;
        }
        // A namespace is said to be in itself.
        let [plural, _, name] = &key;
        let within_itself = [plural.clone(), String::new(), name.clone()];
        let known = self
            .objects
            .get(&key)
            .or_else(|| self.objects.get(&within_itself));
        let Some(address) = known else {
            panic!("a write to what has no address: {event:#}");
        };
        let verb = match event["verb"].as_str().unwrap() {
            "delete" | "deletecollection" => "delete",
            _ if event["responseStatus"]["code"] == 201 => "create",
            _ => "update",
        };
        seen.add(address.clone(), verb);
    }
}

/// The verbs that were seen for each address.
#[derive(Default)]
struct Seen(BTreeMap<String, BTreeSet<&'static str>>);

impl Seen {
    fn add(&mut self, address: String, verb: &'static str) {
        self.0.entry(address).or_default().insert(verb);
    }

    /// A resource that is made or removed is set up or taken down by updates.
    fn pairs(self) -> Pairs {
        let mut pairs = Pairs::new();
        for (address, mut verbs) in self.0 {
            if verbs.len() > 1 {
                verbs.remove("update");
            }
            pairs.extend(
                verbs
                    .into_iter()
                    .map(|verb| (address.clone(), verb.to_owned())),
            );
        }
        pairs
    }
}

/// What a call does to the resource that it is about.
fn verb(action: &str) -> &'static str {
    const NOUNS: [&str; 15] = [
        "AccessEntry",
        "Address",
        "Bucket",
        "Cluster",
        "InternetGateway",
        "NatGateway",
        "Role",
        "RouteTable",
        "SecurityGroup",
        "Subnet",
        "Volume",
        "Vpc",
        "VpcEndpoint",
        "VpcEndpoints",
        "FlowLogs",
    ];
    for (verb, words) in [
        ("create", ["Create", "Allocate"]),
        ("delete", ["Delete", "Release"]),
    ] {
        let noun = words.iter().find_map(|word| action.strip_prefix(word));
        if noun.is_some_and(|noun| NOUNS.contains(&noun)) {
            return verb;
        }
    }
    "update"
}

/// A release is there once its first revision is.
fn helms([resource, _, name]: &[String; 3], event: &Value) -> &'static str {
    let first = resource == "secrets" && name == "sh.helm.release.v1.argocd.v1";
    match event["verb"].as_str().unwrap() {
        "create" if first => "create",
        "delete" if first => "delete",
        _ => "update",
    }
}

fn done(call: &Value) -> bool {
    call["mutating"] == true && call["status"].as_u64().unwrap() < 400
}

/// A write by whoever deploys, but for the book that Trunkline keeps of what
/// it applies.
pub(crate) fn is_write_of_ours(event: &Value) -> bool {
    let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
    let by = event["user"]["username"].as_str().unwrap_or_default();
    let dry = event["requestURI"]
        .as_str()
        .unwrap_or_default()
        .contains("dryRun=All");
    by.ends_with(":user/trunkline-local")
        && (200..300).contains(&code)
        && !dry
        && event["objectRef"]["name"] != "trunkline-inventory"
        && event["stage"] == "ResponseComplete"
}

fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    let end = if kind.ends_with('s') { "es" } else { "s" };
    format!("{kind}{end}")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
