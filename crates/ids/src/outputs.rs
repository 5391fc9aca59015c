//! Outputs and references: what one resource gives to another, by type.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Address;

/// A value that a resource has once it exists: an id, an ARN, an endpoint.
pub trait Output:
    Clone + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name of the output, unique among types; part of the key it is
    /// stored under, never written by hand elsewhere.
    const NAME: &'static str;
}

/// A typed reference: "the `T` of the resource at this address".
///
/// Layers publish references as pure functions of their spec; the pipeline
/// wires them to other layers. What a reference means is known before
/// anything exists.
pub struct Ref<T> {
    address: Address,
    output: PhantomData<fn() -> T>,
}

impl<T: Output> Ref<T> {
    /// The `T` of the resource at `address`.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            output: PhantomData,
        }
    }

    /// The resource referred to: what a step that uses the reference comes
    /// after.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Self {
            address: self.address.clone(),
            output: PhantomData,
        }
    }
}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for Ref<T> {}

impl<T: Output> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", T::NAME, self.address)
    }
}

/// A value that a plan knows already, or will know after a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Later<T> {
    /// Known while planning.
    Known(T),
    /// Known after the resource at this address is made.
    After(Address),
}

impl<T: fmt::Display> fmt::Display for Later<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::After(address) => write!(f, "(known after {address})"),
        }
    }
}

/// All outputs known at one moment: seeded by observation, filled by steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outputs(BTreeMap<Address, BTreeMap<String, serde_json::Value>>);

impl Outputs {
    /// No outputs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one output of `address`; the last one of a type wins.
    pub fn put<T: Output>(&mut self, address: &Address, value: &T) {
        // A value that serde cannot write would be a bug in the type itself;
        // leaving it out shows as "not known" at the reader.
        if let Ok(json) = serde_json::to_value(value) {
            self.0
                .entry(address.clone())
                .or_default()
                .insert(T::NAME.to_owned(), json);
        }
    }

    /// Adds one output and returns the whole: for building in one expression.
    #[must_use]
    pub fn with<T: Output>(mut self, address: &Address, value: &T) -> Self {
        self.put(address, value);
        self
    }

    /// What a reference points at, if it is known by now.
    #[must_use]
    pub fn get<T: Output>(&self, reference: &Ref<T>) -> Option<T> {
        let json = self.0.get(reference.address())?.get(T::NAME)?;
        serde_json::from_value(json.clone()).ok()
    }

    /// What a reference points at, as a plan shows it.
    #[must_use]
    pub fn later<T: Output>(&self, reference: &Ref<T>) -> Later<T> {
        match self.get(reference) {
            Some(value) => Later::Known(value),
            None => Later::After(reference.address().clone()),
        }
    }

    /// Takes over everything `other` knows.
    pub fn merge(&mut self, other: Self) {
        for (address, values) in other.0 {
            self.0.entry(address).or_default().extend(values);
        }
    }

    /// Forgets what `address` gave: it is gone.
    pub fn forget(&mut self, address: &Address) {
        self.0.remove(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SubnetId, VpcId};

    #[test]
    fn outputs_are_reached_by_type_and_address() {
        let address = Address::new("net", "vpc", "main");
        let outputs = Outputs::new().with(&address, &VpcId::new("vpc-1"));
        assert_eq!(
            outputs.get(&Ref::<VpcId>::new(address.clone())),
            Some(VpcId::new("vpc-1"))
        );
        assert_eq!(outputs.get(&Ref::<SubnetId>::new(address.clone())), None);
        let other = Ref::<VpcId>::new(Address::new("net", "vpc", "other"));
        assert_eq!(outputs.later(&other), Later::After(other.address().clone()));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let address = Address::new("net", "vpc", "main");
        let mut outputs = Outputs::new().with(&address, &VpcId::new("vpc-1"));
        outputs.forget(&address);
        assert_eq!(outputs, Outputs::new());
    }
}
