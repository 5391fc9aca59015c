//! Which nodes are started, case by case.

use super::*;
use crate::auto_mode::catalog;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn zone(name: &str) -> Labels {
    labels(&[(ZONE, name)])
}

fn pool(zones: &[&str]) -> Pool {
    Pool {
        name: "general".into(),
        labels: Labels::new(),
        taints: Vec::new(),
        requirements: vec![
            Requirement::equals("karpenter.sh/capacity-type", "on-demand"),
            Requirement::equals("kubernetes.io/arch", "amd64"),
        ],
        zones: zones.iter().map(|name| zone(name)).collect(),
        weight: 0,
    }
}

fn pod(name: &str, cpu_millis: i64) -> Pod {
    Pod {
        namespace: "default".into(),
        name: name.into(),
        labels: labels(&[("app", "web")]),
        requests: Resources {
            cpu_millis,
            memory: 64 << 20,
            pods: 1,
        },
        ..Pod::default()
    }
}

fn scene(pending: Vec<Pod>, pools: Vec<Pool>) -> Scene {
    Scene {
        pending,
        pools,
        types: catalog::instance_types(),
        ..Scene::default()
    }
}

fn start(scene: &Scene) -> Vec<NewNode> {
    plan(scene).start
}

fn zones_of(nodes: &[NewNode]) -> Vec<&str> {
    nodes
        .iter()
        .map(|node| node.labels[ZONE].as_str())
        .collect()
}

fn web() -> Selector {
    Selector::from_iter([("app", "web")])
}

#[test]
fn small_pods_share_the_cheapest_node() {
    let nodes = start(&scene(
        vec![pod("a", 100), pod("b", 200)],
        vec![pool(&["a", "b"])],
    ));
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].instance_type, "c7a.medium");
    assert_eq!(nodes[0].pods, ["default/b", "default/a"]);
    assert_eq!(nodes[0].labels["karpenter.sh/capacity-type"], "on-demand");
    assert_eq!(nodes[0].labels["karpenter.sh/nodepool"], "general");
}

#[test]
fn a_larger_need_takes_a_larger_type() {
    let mut hungry = pod("a", 1500);
    hungry.requests.memory = 6 << 30;
    let nodes = start(&scene(vec![hungry], vec![pool(&["a"])]));
    assert_eq!(nodes[0].instance_type, "m7a.large");
}

#[test]
fn what_an_existing_node_takes_starts_none() {
    let mut scene = scene(vec![pod("a", 100)], vec![pool(&["a"])]);
    scene.nodes = vec![Node {
        name: "i-1".into(),
        labels: zone("a"),
        taints: Vec::new(),
        free: Resources {
            cpu_millis: 500,
            memory: 1 << 30,
            pods: 10,
        },
    }];
    assert_eq!(start(&scene), []);
    scene.nodes[0].free.cpu_millis = 50;
    assert_eq!(start(&scene).len(), 1);
}

#[test]
fn without_pools_or_zones_nothing_can_start() {
    assert_eq!(start(&scene(vec![pod("a", 100)], Vec::new())), []);
    assert_eq!(start(&scene(vec![pod("a", 100)], vec![pool(&[])])), []);
}

#[test]
fn a_spread_over_zones_gives_a_node_in_each() {
    let spread = |name: &str| Pod {
        rules: vec![Rule::Spread {
            key: ZONE.into(),
            max_skew: 1,
            selector: web(),
        }],
        ..pod(name, 100)
    };
    let pods = vec![spread("a"), spread("b"), spread("c")];
    let nodes = start(&scene(pods, vec![pool(&["a", "b", "c"])]));
    assert_eq!(zones_of(&nodes), ["a", "b", "c"]);
}

#[test]
fn pods_that_stand_apart_get_a_node_each_over_the_zones() {
    let apart = |name: &str| Pod {
        rules: vec![Rule::Apart {
            key: HOSTNAME.into(),
            selector: web(),
        }],
        ..pod(name, 100)
    };
    let pods = vec![apart("a"), apart("b"), apart("c")];
    let nodes = start(&scene(pods, vec![pool(&["a", "b"])]));
    assert_eq!(zones_of(&nodes), ["a", "b", "a"]);
}

#[test]
fn a_volume_decides_the_zone() {
    let bound = Pod {
        volumes: vec![AnyOf(vec![vec![Requirement::equals(ZONE, "b")]])],
        ..pod("a", 100)
    };
    assert_eq!(
        zones_of(&start(&scene(vec![bound], vec![pool(&["a", "b"])]))),
        ["b"]
    );
}

#[test]
fn a_selector_that_no_offer_has_starts_nothing() {
    let gpu = Pod {
        wants: AnyOf(vec![vec![Requirement::equals("gpu", "yes")]]),
        ..pod("a", 100)
    };
    assert_eq!(start(&scene(vec![gpu.clone()], vec![pool(&["a"])])), []);
    let labelled = Pool {
        labels: labels(&[("gpu", "yes")]),
        ..pool(&["a"])
    };
    assert_eq!(start(&scene(vec![gpu], vec![labelled])).len(), 1);
}

#[test]
fn taints_of_a_pool_need_a_toleration() {
    let taint = Taint {
        key: "media".into(),
        value: String::new(),
        effect: "NoSchedule".into(),
    };
    let tainted = Pool {
        taints: vec![taint],
        ..pool(&["a"])
    };
    assert_eq!(
        start(&scene(vec![pod("a", 100)], vec![tainted.clone()])),
        []
    );
    let tolerant = Pod {
        tolerations: vec![Toleration {
            key: Some("media".into()),
            operator: Some("Exists".into()),
            value: None,
            effect: None,
        }],
        ..pod("a", 100)
    };
    assert_eq!(start(&scene(vec![tolerant], vec![tainted])).len(), 1);
}

#[test]
fn the_heavier_pool_is_asked_first() {
    let heavy = Pool {
        name: "heavy".into(),
        weight: 50,
        ..pool(&["a"])
    };
    let nodes = start(&scene(vec![pod("a", 100)], vec![pool(&["a"]), heavy]));
    assert_eq!(nodes[0].pool, "heavy");
}

#[test]
fn a_pod_larger_than_any_type_starts_nothing() {
    assert_eq!(
        start(&scene(vec![pod("a", 100_000)], vec![pool(&["a"])])),
        []
    );
}

#[test]
fn a_pod_keeps_the_node_that_was_started_for_it() {
    let node = |name: &str| Node {
        name: name.into(),
        labels: zone("a"),
        taints: Vec::new(),
        free: Resources {
            cpu_millis: 900,
            memory: 1 << 30,
            pods: 10,
        },
    };
    let mut scene = scene(
        vec![pod("small", 500), pod("large", 600)],
        vec![pool(&["a"])],
    );
    scene.nodes = vec![node("i-1"), node("i-2")];
    scene.nominated = BTreeMap::from([("default/small".into(), "i-1".into())]);
    let places = plan(&scene).places;
    assert_eq!(places["default/small"], "i-1");
    assert_eq!(places["default/large"], "i-2");

    // Without the nomination the larger one comes first and takes its place.
    scene.nominated.clear();
    assert_eq!(plan(&scene).places["default/small"], "i-2");
}
