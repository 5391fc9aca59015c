//! One environment in an emulated AWS of its own: planned and walked as the
//! pipeline does it, looked at past our own code.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_sdk_ec2::Client;
use serde_json::Value;
use trunkline_aws::{Aws, Open};
use trunkline_engine::{
    AnyLayer, Applying, DeleteOrder, Draft, Event, Events, Failure, Happening, Intent, Intents,
    NoIntents, Observing, Performer, Plan, Presence, Report, Slots, Step, Stop, WalkOptions, Wish,
    walk,
};
use trunkline_fake_aws::{faults::Settings, record::Call, testing::TestAws};
use trunkline_ids::{AccountId, Address, ClusterName, Outputs, ZoneId};
use trunkline_net::{Nat, Net, NetSpec, ZoneRanges};

pub(crate) const DESTROYED: Wish = Wish::Destroyed { with_data: false };

/// An emulated AWS and the network in it.
pub(crate) struct Network {
    pub(crate) aws: TestAws,
    /// Past the front: what somebody does behind our back.
    pub(crate) behind: Client,
    handle: Arc<Aws>,
    window: Duration,
    heard: Arc<Mutex<Vec<Event>>>,
    intents: Arc<dyn Intents>,
}

/// A plan and what else the layer said.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) outputs: Outputs,
}

struct Does(AnyLayer);

#[derive(Default)]
struct NeverSettled(Mutex<BTreeMap<Address, Intent>>);

#[async_trait::async_trait]
impl Intents for NeverSettled {
    fn open(&self, address: &Address) -> Option<Intent> {
        self.0.lock().unwrap().get(address).cloned()
    }

    async fn intend(&self, address: &Address) -> Result<Intent, Failure> {
        let intent = NoIntents.intend(address).await?;
        let mut all = self.0.lock().unwrap();
        all.insert(address.clone(), intent.clone());
        Ok(intent)
    }
}

#[async_trait::async_trait]
impl Performer for Does {
    async fn perform(&self, step: &Step, cx: &Applying) -> Result<Outputs, Failure> {
        self.0.apply(&step.action, cx).await
    }
}

pub(crate) fn spec(zones: &[u8], nat: Nat) -> NetSpec {
    let ranges = zones.iter().map(|n| ZoneRanges {
        zone: ZoneId::new(format!("euc1-az{n}")),
        public: format!("10.20.{}.0/22", 192 + 4 * (n - 1)).parse().unwrap(),
        private: format!("10.20.{}.0/19", 32 * (n - 1)).parse().unwrap(),
    });
    let cidr = "10.20.0.0/16".parse().unwrap();
    let cluster = ClusterName::new("trunkline-sandbox");
    NetSpec::new("sandbox", cluster, cidr, ranges.collect(), nat).unwrap()
}

async fn sdk(endpoint: &str, (id, secret): (String, String)) -> SdkConfig {
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(20));
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(retries)
        .load()
        .await
}

impl Network {
    pub(crate) async fn new() -> Self {
        let aws = TestAws::start().await;
        let front = sdk(&aws.endpoint(), aws.credentials()).await;
        let behind = Client::new(&sdk(&aws.moto(), aws.credentials()).await);
        let handle = Aws::new(
            &front,
            "sandbox",
            AccountId::new(aws.account()),
            Arc::new(Open),
        );
        Self {
            aws,
            behind,
            handle: Arc::new(handle),
            window: Duration::from_secs(10),
            heard: Arc::default(),
            intents: Arc::new(NoIntents),
        }
    }

    /// How long AWS is given to show what it has made.
    pub(crate) fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Keeps intents open for ever, as runs do that are killed before they can
    /// settle them.
    pub(crate) fn with_open_intents(mut self) -> Self {
        self.intents = Arc::new(NeverSettled::default());
        self
    }

    /// How long it takes to show it.
    pub(crate) fn shows_after(&self, time: Duration) {
        self.aws.settings(Settings {
            visibility_ms: u64::try_from(time.as_millis()).unwrap(),
            ..Settings::default()
        });
    }

    pub(crate) fn layer(&self, spec: &NetSpec) -> AnyLayer {
        AnyLayer::new(Net::new(spec.clone(), Arc::clone(&self.handle)))
    }

    pub(crate) async fn plan(&self, spec: &NetSpec, wish: Wish) -> Planned {
        let layer = self.layer(spec);
        let observing = Observing {
            outputs: Outputs::new(),
            parent: Presence::Present,
        };
        let observed = layer.observe(&observing).await;
        let draft: Draft = layer.plan(wish, &observed).unwrap();
        let order = DeleteOrder::new(layer.delete_order());
        Planned {
            plan: Plan::assemble([draft], &order, 0).unwrap(),
            outputs: observed.seen.outputs,
        }
    }

    pub(crate) async fn walk(&self, spec: &NetSpec, planned: &Planned) -> Report {
        let heard = Arc::clone(&self.heard);
        let listener = move |event: &Event| heard.lock().unwrap().push(event.clone());
        let options = WalkOptions {
            slots: Slots::new(&[("ec2", 8)], 8),
            attempts: 5,
            first_pause: Duration::from_millis(50),
            consistency_window: self.window,
            intents: Arc::clone(&self.intents),
            events: Events::to(vec![Arc::new(listener)]),
        };
        let performer = Does(self.layer(spec));
        let outputs = planned.outputs.clone();
        walk(&planned.plan, &performer, outputs, &options, &Stop::new()).await
    }

    /// Plans and walks, which must succeed.
    pub(crate) async fn meet(&self, spec: &NetSpec, wish: Wish) -> Planned {
        let planned = self.plan(spec, wish).await;
        assert_eq!(planned.plan.unknown, vec![]);
        let report = self.walk(spec, &planned).await;
        let failures: Vec<String> = report
            .failures()
            .map(|(i, failure, _)| format!("{}: {failure}", planned.plan.steps[i].address))
            .collect();
        assert!(report.is_done(), "{failures:#?}");
        planned
    }

    /// A plan of one line per step.
    pub(crate) async fn steps(&self, spec: &NetSpec, wish: Wish) -> Vec<String> {
        let planned = self.plan(spec, wish).await;
        assert_eq!(planned.plan.unknown, vec![]);
        let steps = planned.plan.steps.iter();
        let mut lines: Vec<String> = steps.map(|s| format!("{} {}", s.verb, s.address)).collect();
        lines.sort();
        lines
    }

    /// Waits until a step tells that it waits for something with these words.
    pub(crate) async fn hears_waiting(&self, words: &str) {
        let until = tokio::time::Instant::now() + Duration::from_secs(30);
        let is_it = |event: &Event| matches!(&event.what, Happening::Waiting { what, .. } if what.contains(words));
        while !self.heard.lock().unwrap().iter().any(is_it) {
            assert!(
                tokio::time::Instant::now() < until,
                "nothing waited for {words}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything in EC2, by boto3 straight at moto.
    pub(crate) async fn look(&self) -> Value {
        let python = self.aws.python().to_owned();
        let moto = self.aws.moto();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/look.py");
        let ran = tokio::task::spawn_blocking(move || {
            Command::new(python).arg(script).arg(moto).output().unwrap()
        });
        let output = ran.await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// How many things carry each address, by boto3.
    pub(crate) async fn marked(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let look = self.look().await;
        for thing in look.as_object().unwrap().values().flat_map(things) {
            let tags = thing["Tags"].as_array().into_iter().flatten();
            let address = tags
                .filter(|tag| tag["Key"] == "trunkline:address")
                .filter_map(|tag| tag["Value"].as_str());
            for address in address {
                *counts.entry(address.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// The calls since the record was cleared.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let ec2 = |call: &Call| call.service == "ec2";
        self.aws.record().into_iter().filter(ec2).collect()
    }
}

fn things(of: &Value) -> Vec<&Value> {
    of.as_array().into_iter().flatten().collect()
}

/// The one thing of a kind in a look that carries this address.
pub(crate) fn one<'a>(look: &'a Value, kind: &str, address: &str) -> &'a Value {
    let is_it = |thing: &&&Value| {
        let tags = thing["Tags"].as_array().into_iter().flatten();
        tags.into_iter()
            .any(|tag| tag["Key"] == "trunkline:address" && tag["Value"] == address)
    };
    let all = things(&look[kind]);
    let found: Vec<&&Value> = all.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{kind} {address}");
    found[0]
}

pub(crate) fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}
