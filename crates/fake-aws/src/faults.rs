//! Faults: what the front does to calls on purpose, and the settings that
//! hold for all calls (latency, visibility delay, pace).

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A fault for the `nth` call of an action, counted from when it was set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Signing name of the service, or `*`.
    pub service: String,
    /// Name of the operation, or `*`.
    pub action: String,
    /// Only calls that change something.
    #[serde(default)]
    pub mutating: bool,
    /// Only calls of the program with this application id (the SDKs take it
    /// from `AWS_SDK_UA_APP_ID` into their user agent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only calls whose request names something that contains this: an address
    /// among its tags, an id, a name, an ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The first matching call that is hit.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many calls in a row are hit.
    #[serde(default = "one")]
    pub times: u32,
    /// What happens.
    #[serde(rename = "do")]
    pub effect: Effect,
}

fn one() -> u32 {
    1
}

/// What happens to a call that is hit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// The work is done, then the connection is closed without an answer.
    DropAnswer,
    /// The work is done, then the calling process gets SIGKILL. The answer
    /// goes out if the process lives on (it could not be found).
    KillCaller,
    /// The work is done, the calling process gets SIGKILL, no answer goes out.
    KillCallerDropAnswer,
    /// Nothing is done; this error is answered.
    Fail {
        /// HTTP status.
        status: u16,
        /// AWS's error code.
        code: String,
        /// The text with it.
        #[serde(default)]
        message: String,
    },
    /// Nothing is done; the service's own throttling error is answered.
    Throttle,
    /// The work is done later.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
}

impl Effect {
    /// The name of the type, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DropAnswer => "drop_answer",
            Self::KillCaller => "kill_caller",
            Self::KillCallerDropAnswer => "kill_caller_drop_answer",
            Self::Fail { .. } => "fail",
            Self::Throttle => "throttle",
            Self::Latency { .. } => "latency",
        }
    }

    /// Whether the calling process is ended once the work is done.
    pub fn kills(&self) -> bool {
        matches!(self, Self::KillCaller | Self::KillCallerDropAnswer)
    }

    /// Whether the answer is withheld once the work is done.
    pub fn drops(&self) -> bool {
        matches!(self, Self::DropAnswer | Self::KillCallerDropAnswer)
    }
}

/// What of a call decides which faults it matches.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    /// Signing name of the service.
    pub service: &'a str,
    /// Name of the operation.
    pub action: &'a str,
    /// Whether it changes something.
    pub mutating: bool,
    /// The caller's application id.
    pub app: Option<&'a str>,
    /// What its request names.
    pub about: &'a [String],
}

impl Fault {
    fn matches(&self, call: Matched<'_>) -> bool {
        let is = |wanted: &str, it: &str| wanted == "*" || wanted == it;
        is(&self.service, call.service)
            && is(&self.action, call.action)
            && (call.mutating || !self.mutating)
            && self.app.as_deref().is_none_or(|app| call.app == Some(app))
            && self
                .about
                .as_deref()
                .is_none_or(|part| call.about.iter().any(|name| name.contains(part)))
    }
}

/// The faults that are set, each with the number of matching calls so far.
#[derive(Debug, Default)]
pub struct Faults {
    set: Mutex<Vec<(Fault, u32)>>,
}

impl Faults {
    /// Adds a fault; counting starts now.
    pub fn add(&self, fault: Fault) {
        self.lock().push((fault, 0));
    }

    /// Replaces all faults.
    pub fn replace(&self, faults: Vec<Fault>) {
        *self.lock() = faults.into_iter().map(|fault| (fault, 0)).collect();
    }

    /// Removes those that are set for one application.
    pub fn remove_of(&self, app: &str) {
        let of_app = |fault: &Fault| fault.app.as_deref() == Some(app);
        self.lock().retain(|(fault, _)| !of_app(fault));
    }

    /// The faults that are set, spent ones too.
    pub fn list(&self) -> Vec<Fault> {
        self.lock().iter().map(|(fault, _)| fault.clone()).collect()
    }

    /// Counts this call for every fault it matches, and gives the first effect
    /// that hits it.
    pub fn take(&self, call: Matched<'_>) -> Option<Effect> {
        let mut hit = None;
        let mut set = self.lock();
        for (fault, seen) in set.iter_mut().filter(|(fault, _)| fault.matches(call)) {
            *seen += 1;
            let last = fault.nth.saturating_add(fault.times.saturating_sub(1));
            if (fault.nth..=last).contains(seen) && hit.is_none() {
                hit = Some(fault.effect.clone());
            }
        }
        hit
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Fault, u32)>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How fast things that take AWS minutes go.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Pace {
    /// As soon as the work behind is done.
    #[default]
    Instant,
    /// The published duration divided by this.
    Divided(f64),
}

impl Pace {
    /// How long something takes that takes `published` at AWS.
    pub fn of(self, published: Duration) -> Duration {
        match self {
            Self::Instant => Duration::ZERO,
            Self::Divided(by) => published.div_f64(by.max(0.001)),
        }
    }
}

impl std::str::FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<f64>()) {
            ("instant", _) => Ok(Self::Instant),
            (_, Ok(by)) if by.is_finite() && by >= 1.0 => Ok(Self::Divided(by)),
            _ => Err(format!(
                "a pace is \"instant\" or a number from 1 on, not {text:?}"
            )),
        }
    }
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instant => f.write_str("instant"),
            Self::Divided(by) => write!(f, "{by}"),
        }
    }
}

impl Serialize for Pace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Instant => serializer.serialize_str("instant"),
            Self::Divided(by) => serializer.serialize_f64(*by),
        }
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Word(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Word(word) => word,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What holds for every call.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Milliseconds added to every call.
    pub latency_ms: u64,
    /// How long what was just created stays out of sight in EC2, in milliseconds.
    pub visibility_ms: u64,
    /// How fast NAT gateways and clusters change their state.
    pub pace: Pace,
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct SharedSettings(RwLock<Settings>);

impl SharedSettings {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(RwLock::new(settings))
    }

    pub(crate) fn get(&self) -> Settings {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: serde_json::Value) -> Fault {
        serde_json::from_value(json).unwrap()
    }

    fn call<'a>(service: &'a str, action: &'a str) -> Matched<'a> {
        Matched {
            service,
            action,
            mutating: action.starts_with("Create"),
            app: None,
            about: &[],
        }
    }

    #[test]
    fn a_fault_hits_the_nth_call_and_as_many_as_asked() {
        let faults = Faults::default();
        faults.add(fault(serde_json::json!({
            "service": "ec2", "action": "CreateVpc", "nth": 2, "times": 2,
            "do": {"type": "drop_answer"}
        })));
        assert_eq!(faults.take(call("ec2", "CreateSubnet")), None);
        let hits: Vec<bool> = (0..5)
            .map(|_| faults.take(call("ec2", "CreateVpc")).is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
    }

    #[test]
    fn wildcards_match_and_each_fault_counts_by_itself() {
        let faults = Faults::default();
        faults.replace(vec![
            fault(serde_json::json!({"service": "*", "action": "*", "nth": 2, "do": {"type": "throttle"}})),
            fault(serde_json::json!({"service": "s3", "action": "PutObject", "do": {"type": "latency", "ms": 5}})),
        ]);
        assert_eq!(
            faults.take(call("s3", "PutObject")),
            Some(Effect::Latency { ms: 5 })
        );
        assert_eq!(faults.take(call("iam", "GetRole")), Some(Effect::Throttle));
        assert_eq!(faults.take(call("s3", "PutObject")), None);
    }

    #[test]
    fn a_fault_can_be_for_the_writes_of_one_application() {
        let faults = Faults::default();
        faults.add(fault(serde_json::json!({
            "service": "*", "action": "*", "mutating": true, "app": "one", "nth": 2,
            "do": {"type": "kill_caller"}
        })));
        let by = |app, action| Matched {
            app,
            ..call("ec2", action)
        };
        let calls = [
            by(Some("one"), "CreateVpc"),
            by(Some("one"), "DescribeVpcs"),
            by(Some("other"), "CreateVpc"),
            by(None, "CreateVpc"),
        ];
        assert!(calls.iter().all(|call| faults.take(*call).is_none()));
        assert!(faults.take(by(Some("one"), "CreateSubnet")).is_some());
        faults.remove_of("other");
        assert_eq!(faults.list().len(), 1);
        faults.remove_of("one");
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_fault_can_be_for_one_resource() {
        let faults = Faults::default();
        faults.add(fault(serde_json::json!({
            "service": "*", "action": "*", "about": "role/node", "do": {"type": "throttle"}
        })));
        let about = |names| Matched {
            about: names,
            ..call("eks", "CreateAccessEntry")
        };
        let node = ["tl".to_owned(), "tl/arn:aws:iam::1:role/node".to_owned()];
        assert_eq!(faults.take(about(&node[..1])), None);
        assert_eq!(faults.take(about(&node)), Some(Effect::Throttle));
    }

    #[test]
    fn paces_are_words_or_divisors() {
        assert_eq!("instant".parse(), Ok(Pace::Instant));
        assert_eq!("60".parse(), Ok(Pace::Divided(60.0)));
        assert!("0".parse::<Pace>().is_err());
        assert!("fast".parse::<Pace>().is_err());
        let minute = Duration::from_secs(60);
        assert_eq!(Pace::Instant.of(minute), Duration::ZERO);
        assert_eq!(Pace::Divided(60.0).of(minute), Duration::from_secs(1));
        let settings: Settings = serde_json::from_str(r#"{"pace": 30}"#).unwrap();
        assert_eq!(settings.pace, Pace::Divided(30.0));
        assert_eq!(serde_json::to_value(settings).unwrap()["pace"], 30.0);
    }
}
