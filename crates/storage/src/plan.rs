//! What has to be done to the buckets. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use trunkline_aws::{canonical_policy, same_policy};
use trunkline_engine::{Change, Draft, Kept, Observed, Step, Verb, Wish};
use trunkline_ids::{Address, BucketName};

use crate::{
    observe::{Bucket, Observation},
    spec::{Attribute, Attributes, BucketWish, PublicAccessBlock, Rule},
};

/// S3 answers at once; a create is followed by one request per attribute.
const TAKES: Duration = Duration::from_secs(4);

/// One way to change one bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes it and sets everything.
    Create(Box<BucketWish>),
    /// Sets what differs.
    Mend(Box<Mend>),
    /// Removes it.
    Delete {
        /// Its name.
        name: BucketName,
        /// Whether what it holds goes first.
        with_data: bool,
    },
}

/// What differs of a bucket, and how the bucket should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mend {
    pub(crate) bucket: BucketWish,
    pub(crate) attributes: BTreeSet<Attribute>,
    /// All tags the bucket shall have, others' included: S3 sets them as one.
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

/// The steps from what is to what is wished.
pub(crate) fn plan(
    environment: &str,
    wished: &[BucketWish],
    wish: Wish,
    seen: &Observation,
) -> Draft<Action> {
    let wanted: BTreeMap<&Address, &BucketWish> = match wish {
        Wish::Deployed => wished.iter().map(|b| (&b.address, b)).collect(),
        Wish::Destroyed { .. } => BTreeMap::new(),
    };
    let mut draft = Draft {
        foreign: seen.foreign.clone(),
        ..Draft::default()
    };
    for (address, observed) in &seen.buckets {
        match (observed, wanted.get(address)) {
            (Observed::Unknown(why), _) => draft.unknown.push((address.clone(), why.clone())),
            (Observed::Absent, None) => {}
            (Observed::Absent, Some(wanted)) => draft.steps.push(create(wanted)),
            (Observed::Present { value, .. }, Some(wanted)) => {
                draft.steps.extend(mend(wanted, value));
            }
            (Observed::Present { value, .. }, None) => {
                match remove(environment, address, value, wish) {
                    Ok(step) => draft.steps.push(step),
                    Err(kept) => draft.kept.push(kept),
                }
            }
        }
    }
    draft
}

fn create(bucket: &BucketWish) -> Step<Action> {
    let action = Action::Create(Box::new(bucket.clone()));
    Step::new(Verb::Create, bucket.address.clone(), "s3", action)
        .about(bucket.name.as_str())
        .because("it is not there")
        .takes(TAKES)
}

/// The step that removes a bucket, or why it stays: one that holds data goes
/// only with the data, when that was asked for.
fn remove(
    environment: &str,
    address: &Address,
    is: &Bucket,
    wish: Wish,
) -> Result<Step<Action>, Kept> {
    let keep = |why: &str, command: String| Kept {
        address: address.clone(),
        id: is.name.to_string(),
        why: why.to_owned(),
        command,
    };
    let (with_data, reason) = match wish {
        Wish::Deployed if is.holds => {
            let command = format!("empty it, then trunkline deploy {environment}");
            return Err(keep("it is no longer wished but holds objects", command));
        }
        Wish::Destroyed { with_data: false } if is.holds => {
            let command = format!("trunkline destroy {environment} --delete-data");
            return Err(keep("it holds objects", command));
        }
        Wish::Deployed => (false, "it is no longer wished"),
        Wish::Destroyed { with_data } => (with_data, "the environment is destroyed"),
    };
    let name = is.name.clone();
    let step = Step::new(
        Verb::Delete,
        address.clone(),
        "s3",
        Action::Delete { name, with_data },
    )
    .about(is.name.as_str())
    .because(reason)
    .takes(TAKES);
    Ok(if is.holds {
        step.loses(format!("every object in {}, all versions", is.name))
    } else {
        step
    })
}

/// The step that puts right what differs, if anything does.
fn mend(wanted: &BucketWish, is: &Bucket) -> Option<Step<Action>> {
    let differ = |attribute: &Attribute| wanted.attributes.differ(&is.attributes, *attribute);
    let attributes: BTreeSet<_> = Attribute::ALL.into_iter().filter(differ).collect();
    let mut changes: Vec<Change> = attributes
        .iter()
        .map(|attribute| {
            let from = is.attributes.words(*attribute);
            Change::new(attribute.field(), from, wanted.attributes.words(*attribute))
        })
        .collect();
    let mut tags = is.tags.clone();
    for (key, value) in &wanted.tags {
        let before = tags.insert(key.clone(), value.clone()).unwrap_or_default();
        if before != *value {
            changes.push(Change::new(&format!("tag {key}"), before, value));
        }
    }
    if changes.is_empty() {
        return None;
    }
    let action = Action::Mend(Box::new(Mend {
        bucket: wanted.clone(),
        attributes,
        tags: (tags != is.tags).then_some(tags),
    }));
    let step = Step::new(Verb::Update, wanted.address.clone(), "s3", action);
    Some(
        step.about(wanted.name.as_str())
            .changes(changes)
            .because("it differs from what is wished")
            .takes(TAKES),
    )
}

impl Attribute {
    fn field(self) -> &'static str {
        match self {
            Self::Versioning => "versioning",
            Self::Encryption => "encryption",
            Self::PublicAccessBlock => "public access block",
            Self::Ownership => "object ownership",
            Self::Policy => "bucket policy",
            Self::Lifecycle => "lifecycle rules",
        }
    }
}

impl Attributes {
    fn differ(&self, other: &Self, attribute: Attribute) -> bool {
        match attribute {
            Attribute::Versioning => self.versioning != other.versioning,
            Attribute::Encryption => self.encryption != other.encryption,
            Attribute::PublicAccessBlock => self.public_access_block != other.public_access_block,
            Attribute::Ownership => self.ownership != other.ownership,
            Attribute::Policy => !same_policy(&self.policy, &other.policy),
            Attribute::Lifecycle => self.lifecycle != other.lifecycle,
        }
    }

    fn words(&self, attribute: Attribute) -> String {
        let or_none = |text: &str| {
            if text.is_empty() {
                "none".into()
            } else {
                text.into()
            }
        };
        match attribute {
            Attribute::Versioning => or_none(&self.versioning),
            Attribute::Encryption => or_none(&self.encryption),
            Attribute::PublicAccessBlock => self.public_access_block.words(),
            Attribute::Ownership => or_none(&self.ownership),
            Attribute::Policy if self.policy.is_null() => "none".into(),
            Attribute::Policy => canonical_policy(&self.policy).to_string(),
            Attribute::Lifecycle => {
                let rules: Vec<String> = self.lifecycle.iter().map(Rule::words).collect();
                or_none(&rules.join("; "))
            }
        }
    }
}

impl PublicAccessBlock {
    fn words(self) -> String {
        if self == Self::ALL {
            return "everything".to_owned();
        }
        let named = [
            (self.block_acls, "BlockPublicAcls"),
            (self.ignore_acls, "IgnorePublicAcls"),
            (self.block_policy, "BlockPublicPolicy"),
            (self.restrict, "RestrictPublicBuckets"),
        ];
        let on: Vec<_> = named
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, n)| *n)
            .collect();
        if on.is_empty() {
            "nothing".to_owned()
        } else {
            format!("only {}", on.join(", "))
        }
    }
}

impl Rule {
    fn words(&self) -> String {
        let days = |what: &str, days: Option<i32>| days.map(|n| format!("{what} after {n} d"));
        let parts = [
            (!self.enabled).then(|| "disabled".to_owned()),
            (!self.prefix.is_empty()).then(|| format!("under {}", self.prefix)),
            days("objects", self.expire_days),
            days("old versions", self.noncurrent_days),
            days("unfinished uploads", self.abort_days),
            self.delete_markers
                .then(|| "lone delete markers".to_owned()),
            self.other.then(|| "more".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{}: {}", self.id, parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::tests::buckets;

    const DESTROYED: Wish = Wish::Destroyed { with_data: false };
    const WITH_DATA: Wish = Wish::Destroyed { with_data: true };

    fn seen(change: impl Fn(&mut Bucket)) -> Observation {
        let there = buckets().into_iter().map(|wanted| {
            let mut bucket = Bucket {
                name: wanted.name,
                attributes: wanted.attributes,
                tags: wanted.tags,
                holds: false,
            };
            change(&mut bucket);
            (wanted.address, Observed::one(bucket))
        });
        Observation {
            buckets: there.collect(),
            foreign: vec![],
        }
    }

    fn planned(wish: Wish, seen: &Observation) -> Draft<Action> {
        plan("sandbox", &buckets(), wish, seen)
    }

    #[test]
    fn what_is_as_wished_stays() {
        assert_eq!(planned(Wish::Deployed, &seen(|_| {})), Draft::default());
    }

    #[test]
    fn what_was_changed_is_put_right() {
        let seen = seen(|bucket| {
            let is = &mut bucket.attributes;
            is.versioning = "Suspended".into();
            is.encryption = "aws:kms".into();
            is.public_access_block.restrict = false;
            is.ownership = String::new();
            is.policy = Value::Null;
            is.lifecycle[0].expire_days = Some(1);
            bucket.tags.insert("team".into(), "voice".into());
            bucket.tags.insert("Name".into(), "other".into());
        });
        let draft = planned(Wish::Deployed, &seen);
        assert_eq!(draft.steps.len(), 1);
        insta::assert_json_snapshot!(draft.steps[0].changes);
        let Action::Mend(mend) = &draft.steps[0].action else {
            panic!("a mend");
        };
        assert_eq!(mend.tags.as_ref().unwrap()["team"], "voice");
    }

    #[test]
    fn a_bucket_that_holds_data_stays_unless_it_was_asked_for() {
        let full = seen(|bucket| bucket.holds = true);
        let kept = planned(DESTROYED, &full);
        assert_eq!(kept.steps, []);
        insta::assert_json_snapshot!(kept.kept, @r#"
        [
          {
            "address": "storage/bucket/egress",
            "id": "trunkline-sandbox-111122223333-eu-central-1-egress",
            "why": "it holds objects",
            "command": "trunkline destroy sandbox --delete-data"
          }
        ]
        "#);
        let gone = planned(WITH_DATA, &full);
        assert_eq!(gone.kept, []);
        assert!(gone.steps[0].loses.is_some());
        let unwished = plan("sandbox", &[], Wish::Deployed, &full);
        assert_eq!((unwished.steps.len(), unwished.kept.len()), (0, 1));
    }

    #[test]
    fn an_empty_bucket_goes_and_loses_nothing() {
        for wish in [DESTROYED, WITH_DATA] {
            let draft = planned(wish, &seen(|_| {}));
            assert_eq!(draft.steps[0].verb, Verb::Delete);
            assert_eq!(draft.steps[0].loses, None);
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        let address = buckets()[0].address.clone();
        let unknown = Observation {
            buckets: BTreeMap::from([(address, Observed::Unknown("no answer".into()))]),
            foreign: vec![],
        };
        for wish in [Wish::Deployed, DESTROYED, WITH_DATA] {
            let draft = planned(wish, &unknown);
            assert_eq!((draft.steps.len(), draft.unknown.len()), (0, 1));
        }
    }

    proptest! {
        /// However a bucket was bent: one update names each difference, and
        /// once it is done nothing is left to do.
        #[test]
        fn mending_converges(
            versioning in prop::sample::select(vec!["", "Enabled", "Suspended"]),
            encryption in prop::sample::select(vec!["", "AES256", "aws:kms"]),
            block in any::<bool>(),
            policy in any::<bool>(),
            rules in 0..3usize,
            name in prop::option::of("[a-z]{0,4}"),
        ) {
            let mut seen = seen(|bucket| {
                bucket.attributes.versioning = versioning.into();
                bucket.attributes.encryption = encryption.into();
                bucket.attributes.public_access_block.block_policy = block;
                if policy { bucket.attributes.policy = json!({"Version": "2012-10-17"}); }
                let rule = bucket.attributes.lifecycle[0].clone();
                bucket.attributes.lifecycle = vec![rule; rules];
                match &name {
                    Some(name) => { bucket.tags.insert("Name".into(), name.clone()); }
                    None => { bucket.tags.remove("Name"); }
                }
            });
            for step in planned(Wish::Deployed, &seen).steps {
                let Action::Mend(mend) = step.action else { panic!("only mends") };
                prop_assert_eq!(
                    step.changes.len() - mend.attributes.len(),
                    usize::from(mend.tags.is_some())
                );
                let Some(Observed::Present { value, .. }) = seen.buckets.get_mut(&step.address)
                else { panic!("a mend of what is not there") };
                value.attributes = mend.bucket.attributes;
                if let Some(tags) = mend.tags { value.tags = tags; }
            }
            prop_assert_eq!(planned(Wish::Deployed, &seen), Draft::default());
        }
    }
}
