//! The charts of their makers instead of the stand-ins: the same path installs
//! them, and the API server takes every object. They are not in this
//! repository: name a folder that holds them, TRUNKLINE_TEST_CHARTS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use support::Stack;

#[test]
fn argo_cd_of_its_makers_is_installed_by_the_same_path() {
    let Ok(charts) = std::env::var("TRUNKLINE_TEST_CHARTS") else {
        println!(
            "SKIP argo_cd_of_its_makers_is_installed_by_the_same_path: \
             TRUNKLINE_TEST_CHARTS names no folder of upstream charts"
        );
        return;
    };
    let Some(stack) = Stack::up_with("upstream", &["--charts", &charts]) else {
        return;
    };
    stack.run(&["bootstrap", "sandbox"]).exits(0);
    stack.run(&["deploy", "sandbox"]).exits(0);
    // A name that only the makers' chart has: the stand-in leaves it out.
    let health = ["configmap", "-n", "argocd", "argocd-redis-health-configmap"];
    stack.get("sandbox", &health);
    stack
        .run(&["plan", "sandbox", "--detailed-exitcode"])
        .exits(0);
    stack
        .run(&["destroy", "sandbox", "--yes", "--delete-data"])
        .exits(0);
}
