//! Addresses: `layer/kind/name`, the one stable name of a resource.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The stable name of one resource, `layer/kind/name`, for example
/// `net/subnet/private-euc1-az1`.
///
/// Each part is made of lowercase letters, digits, `-` and `.`, and is not
/// empty. The whole is at most 200 characters, so that it fits the value of
/// an AWS tag (256) with room to spare.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// The first two parts of an [`Address`], `layer/kind`: what the table of
/// delete orders speaks about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(String);

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address: {reason} (expected layer/kind/name, as net/vpc/main)")]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

const LONGEST: usize = 200;

impl Address {
    /// Makes an address from its three parts.
    ///
    /// # Panics
    /// When a part holds anything but `[a-z0-9.-]` or is empty: addresses made
    /// in code are made of validated names, so this is a bug of the caller.
    /// Text from outside goes through [`FromStr`].
    #[must_use]
    pub fn new(layer: &str, kind: &str, name: &str) -> Self {
        match format!("{layer}/{kind}/{name}").parse() {
            Ok(address) => address,
            Err(error) => panic!("{error}"),
        }
    }

    /// The layer: the first part.
    #[must_use]
    pub fn layer(&self) -> &str {
        self.part(0)
    }

    /// The kind: layer and second part.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let end = self.0.rfind('/').unwrap_or(self.0.len());
        Kind(self.0[..end].to_owned())
    }

    /// The name: the last part.
    #[must_use]
    pub fn name(&self) -> &str {
        self.part(2)
    }

    /// The whole as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('/').nth(index).unwrap_or_default()
    }
}

impl Kind {
    /// Makes a kind from layer and kind name.
    #[must_use]
    pub fn new(layer: &str, kind: &str) -> Self {
        Address::new(layer, kind, "x").kind()
    }

    /// The kind without its layer, in words: `nat gateway`.
    #[must_use]
    pub fn words(&self) -> String {
        self.0
            .split('/')
            .nth(1)
            .unwrap_or_default()
            .replace('-', " ")
    }

    /// The whole as text, `layer/kind`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |reason| AddressError {
            text: text.chars().take(LONGEST).collect(),
            reason,
        };
        if text.len() > LONGEST {
            return Err(wrong("longer than 200 characters"));
        }
        if text.split('/').count() != 3 {
            return Err(wrong("not three parts"));
        }
        if text.split('/').any(str::is_empty) {
            return Err(wrong("an empty part"));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-./".contains(c);
        if !text.chars().all(allowed) {
            return Err(wrong("a character other than a-z, 0-9, - and ."));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_reached() {
        let address: Address = "net/nat-gateway/euc1-az1".parse().unwrap();
        assert_eq!(address.layer(), "net");
        assert_eq!(address.kind(), Kind::new("net", "nat-gateway"));
        assert_eq!(address.kind().words(), "nat gateway");
        assert_eq!(address.name(), "euc1-az1");
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            "net",
            "net/vpc",
            "net//x",
            "net/vpc/Main",
            "a/b/c/d",
            "net/vpc/a b",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!(
            format!("net/vpc/{}", "x".repeat(200))
                .parse::<Address>()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_round_trips(text in "\\PC{0,60}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string(), text);
            }
        }

        #[test]
        fn json_round_trips(layer in "[a-z]{1,9}", kind in "[a-z-]{1,9}", name in "[a-z0-9.-]{1,30}") {
            let address = Address::new(&layer, &kind, &name);
            let json = serde_json::to_string(&address).unwrap();
            prop_assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        }
    }
}
