//! A layer on an emulated AWS: observe, plan, walk, and a second client to
//! look past our own code. Also used by the tests of storage and cluster.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_credential_types::Credentials;
use serde_json::Value;
use trunkline_aws::{Aws, Open};
use trunkline_engine::{
    AnyLayer, Applying, DeleteOrder, Events, Failure, Intent, Intents, Layer, NoIntents, Observing,
    Performer, Plan, Presence, Report, Slots, Step, Stop, WalkOptions, Wish, walk,
};
use trunkline_fake_aws::{record::Call, testing::TestAws};
use trunkline_ids::{AccountId, Address, Outputs};

/// A world of its own for one environment: an AWS, and what other layers are
/// supposed to have made in it.
pub struct World {
    pub fake: TestAws,
    pub aws: Arc<Aws>,
    pub outputs: Outputs,
    intents: Arc<Remembered>,
}

impl World {
    pub async fn start(environment: &str) -> Self {
        Self::on(TestAws::start().await, environment).await
    }

    pub async fn on(fake: TestAws, environment: &str) -> Self {
        let (id, secret) = fake.credentials();
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(20));
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(fake.region().to_owned()))
            .endpoint_url(fake.endpoint())
            .credentials_provider(Credentials::new(id, secret, None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(retries)
            .load()
            .await;
        let aws = Aws::new(
            &sdk,
            environment,
            AccountId::new(fake.account()),
            Arc::new(Open),
        );
        Self {
            aws: Arc::new(aws),
            fake,
            outputs: Outputs::new(),
            intents: Arc::default(),
        }
    }

    /// What the layer would do.
    pub async fn plan(&self, layer: &AnyLayer, wish: Wish) -> Plan {
        self.look(layer, wish).await.0
    }

    async fn look(&self, layer: &AnyLayer, wish: Wish) -> (Plan, Outputs) {
        let observing = Observing {
            outputs: self.outputs.clone(),
            parent: Presence::Present,
        };
        let seen = layer.observe(&observing).await;
        let draft = layer.plan(wish, &seen).unwrap();
        let order = DeleteOrder::new(layer.delete_order());
        let mut outputs = self.outputs.clone();
        outputs.merge(seen.seen.outputs.clone());
        (Plan::assemble([draft], &order, 0).unwrap(), outputs)
    }

    /// Observes, plans and walks, as a run of its own: intents of earlier runs
    /// are open.
    pub async fn run(&self, layer: &AnyLayer, wish: Wish) -> (Plan, Report) {
        let (plan, outputs) = self.look(layer, wish).await;
        self.intents.next_run();
        let report = self.walk(layer, &plan, outputs, self.intents.clone()).await;
        (plan, report)
    }

    pub async fn walk(
        &self,
        layer: &AnyLayer,
        plan: &Plan,
        outputs: Outputs,
        intents: Arc<dyn Intents>,
    ) -> Report {
        let options = WalkOptions {
            slots: Slots::new(&[], 8),
            attempts: 4,
            first_pause: Duration::from_millis(20),
            consistency_window: Duration::from_secs(3),
            intents,
            events: Events::default(),
        };
        walk(plan, &One(layer.clone()), outputs, &options, &Stop::new()).await
    }

    /// Runs and expects every step to be done.
    pub async fn done(&self, layer: &AnyLayer, wish: Wish) -> Plan {
        let (plan, report) = self.run(layer, wish).await;
        assert!(
            report.is_done(),
            "{:#?}",
            report.failures().collect::<Vec<_>>()
        );
        plan
    }

    /// Nothing is left to do.
    pub async fn is_as_wished(&self, layer: &AnyLayer, wish: Wish) {
        let plan = self.plan(layer, wish).await;
        assert!(plan.is_empty(), "{:#?}", plan.steps);
        assert_eq!(plan.unknown, []);
    }

    /// Runs a few lines of boto3, whose `client(service)` goes to moto itself
    /// and `client(service, front)` to the front, which has EKS. What they
    /// assign to `answer` comes back.
    pub fn boto3(&self, lines: &str) -> Value {
        let script = format!(
            "import boto3, json, sys, urllib.request\n\
             moto, front = sys.argv[1:]\n\
             def client(service, url=moto):\n\
             \x20   return boto3.client(service, endpoint_url=url, region_name='eu-central-1',\n\
             \x20       aws_access_key_id='second', aws_secret_access_key='client')\n\
             answer = None\n\
             {lines}\n\
             print(json.dumps(answer, default=str, sort_keys=True))\n"
        );
        let ran = Command::new(self.fake.python())
            .args(["-c", &script, &self.fake.moto(), &self.fake.endpoint()])
            .env_remove("AWS_ENDPOINT_URL")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{stderr}");
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// All of IAM as moto has it, less what AWS has by itself. (Its
    /// `/moto-api/data.json` would name what is deleted, too.)
    pub fn iam(&self) -> Value {
        self.boto3(
            "iam = client('iam')\n\
             kinds = ['User', 'Role', 'Group', 'LocalManagedPolicy']\n\
             answer = iam.get_account_authorization_details(Filter=kinds)\n\
             del answer['ResponseMetadata']\n\
             answer['profiles'] = iam.list_instance_profiles()['InstanceProfiles']",
        )
    }

    /// The calls of our code since the last clear.
    pub fn calls(&self) -> Vec<Call> {
        let (ours, _) = self.fake.credentials();
        let ours = |call: &Call| call.access_key.as_ref() == Some(&ours);
        self.fake.record().into_iter().filter(ours).collect()
    }

    /// Their names, as `service:Action`.
    pub fn called(&self) -> BTreeSet<String> {
        self.calls().iter().map(Call::name).collect()
    }

    /// The names of those that change something, in order.
    pub fn mutated(&self) -> Vec<String> {
        let calls = self.calls();
        calls
            .iter()
            .filter(|call| call.mutating)
            .map(Call::name)
            .collect()
    }

    /// Every call of the layer is one that it names.
    pub fn only_named_calls(&self, layer: &AnyLayer) {
        let named: BTreeSet<String> = layer
            .api_actions()
            .iter()
            .map(|a| (*a).to_owned())
            .collect();
        let called = self.called();
        let unnamed: Vec<_> = called.difference(&named).collect();
        assert!(unnamed.is_empty(), "called but not named: {unnamed:?}");
    }
}

/// Erases a layer.
pub fn any<L: Layer>(layer: L) -> AnyLayer {
    AnyLayer::new(layer)
}

struct One(AnyLayer);

#[async_trait]
impl Performer for One {
    async fn perform(&self, step: &Step, cx: &Applying) -> Result<Outputs, Failure> {
        self.0.apply(&step.action, cx).await
    }
}

/// Intents that outlive a run, as the ledger's do.
#[derive(Default)]
pub struct Remembered(Mutex<(BTreeMap<Address, Intent>, BTreeMap<Address, Intent>)>);

impl Remembered {
    fn next_run(&self) {
        let mut both = self.0.lock().unwrap();
        let mine = std::mem::take(&mut both.1);
        both.0 = mine;
    }
}

#[async_trait]
impl Intents for Remembered {
    fn open(&self, address: &Address) -> Option<Intent> {
        self.0.lock().unwrap().0.get(address).cloned()
    }

    async fn intend(&self, address: &Address) -> Result<Intent, Failure> {
        let intent = NoIntents.intend(address).await?;
        self.0
            .lock()
            .unwrap()
            .1
            .insert(address.clone(), intent.clone());
        Ok(intent)
    }
}
