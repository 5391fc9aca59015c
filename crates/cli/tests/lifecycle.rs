//! Whole deployments: what is planned, what happens, what is there, what is
//! left.

mod support;

use support::{Stack, alone};

#[test]
fn an_environment_lives_and_leaves_nothing() {
    let _alone = alone();
    let Some(stack) = Stack::up("lifecycle") else {
        return;
    };
    stack.run(&["bootstrap", "sandbox"]).exits(0);
    let bare = stack.moto_data();
    println!("{bare}");
}
