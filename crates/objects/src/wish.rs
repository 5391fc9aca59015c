//! One wished object against what is there: what has to be done.

use trunkline_engine::{Change, Observed, Verb};

use crate::{ENVIRONMENT_LABEL, Object, diff};

/// What has to be done so that an object is as wished.
#[derive(Debug, Clone, PartialEq)]
pub enum Wished {
    /// Nothing.
    AsWished,
    /// This, with these changes of fields.
    Step(Verb, Vec<Change>),
    /// It could not be read; why.
    Unknown(String),
    /// Something of that name is there and does not carry our marks: it is
    /// left alone.
    Foreign(String),
}

/// Compares a wished object with what was observed. Pure.
#[must_use]
pub fn wished(desired: &Object, observed: &Observed<Object>) -> Wished {
    match observed {
        Observed::Unknown(why) => Wished::Unknown(why.clone()),
        Observed::Absent => Wished::Step(Verb::Create, Vec::new()),
        Observed::Present { value, .. } if !same_owner(desired, value) => {
            Wished::Foreign(format!("{} is there and is not ours", value.reference()))
        }
        Observed::Present { value, .. } => {
            let changes = diff(desired, value);
            if changes.is_empty() {
                Wished::AsWished
            } else {
                Wished::Step(Verb::Update, changes)
            }
        }
    }
}

/// Whether the live object carries the environment's mark, if the wished one
/// does.
fn same_owner(desired: &Object, live: &Object) -> bool {
    desired
        .label(ENVIRONMENT_LABEL)
        .is_none_or(|environment| live.is_marked(environment))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ObjectRef;

    #[test]
    fn three_values_become_three_answers() {
        let object = |value: &str| {
            Object::build(
                ObjectRef::config_map("a", "b"),
                json!({"data": {"key": value}}),
            )
        };
        assert_eq!(
            wished(&object("x"), &Observed::one(object("x"))),
            Wished::AsWished
        );
        let Wished::Step(Verb::Update, changes) = wished(&object("x"), &Observed::one(object("y")))
        else {
            panic!("a changed field is an update");
        };
        assert_eq!(changes.len(), 1);
        assert_eq!(
            wished(&object("x"), &Observed::Absent),
            Wished::Step(Verb::Create, vec![])
        );
        let ours = object("x").marked("sandbox", &"a/b/c".parse().unwrap());
        assert!(matches!(
            wished(&ours, &Observed::one(object("x"))),
            Wished::Foreign(_)
        ));
        let unknown = Observed::Unknown("no answer".to_owned());
        assert_eq!(
            wished(&object("x"), &unknown),
            Wished::Unknown("no answer".to_owned())
        );
    }
}
