//! Connections: one per cluster, shared by every layer that lives in it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use trunkline_engine::{Applying, Failure, Observing, Presence};
use trunkline_ids::{Address, ClusterEndpoint, Outputs, Ref};

use crate::{Cluster, TokenSource};

/// Makes connections to the cluster of an environment and keeps the last one,
/// so that tokens and discovery are shared.
#[derive(Clone)]
pub struct Connections {
    tokens: Arc<dyn TokenSource>,
    endpoint: Ref<ClusterEndpoint>,
    entrance: Address,
    last: Arc<Mutex<Option<Cluster>>>,
    /// The endpoint that was seen to answer us.
    answered: Arc<Mutex<Option<ClusterEndpoint>>>,
}

/// A cluster that is ACTIVE may refuse for some minutes (containers-roadmap
/// #654).
const ANSWERS_WITHIN: Duration = Duration::from_secs(10 * 60);

/// What a layer inside a cluster finds when it is asked to look.
pub enum Reach {
    /// The cluster is there.
    Cluster(Cluster),
    /// It is not there, or never was so far: everything in it is absent.
    Absent,
    /// It cannot be told.
    Unknown(String),
}

impl Connections {
    /// Connections to the cluster behind this reference, with tokens of this
    /// source, whom the resource `entrance` lets in.
    #[must_use]
    pub fn new(
        endpoint: Ref<ClusterEndpoint>,
        entrance: Address,
        tokens: Arc<dyn TokenSource>,
    ) -> Self {
        Self {
            tokens,
            endpoint,
            entrance,
            last: Arc::default(),
            answered: Arc::default(),
        }
    }

    /// The reference.
    #[must_use]
    pub fn endpoint(&self) -> &Ref<ClusterEndpoint> {
        &self.endpoint
    }

    /// What lets us in.
    #[must_use]
    pub fn entrance(&self) -> &Address {
        &self.entrance
    }

    /// For observing: the connection, or why there is none.
    #[must_use]
    pub fn reach(&self, cx: &Observing) -> Reach {
        match &cx.parent {
            Presence::Absent => Reach::Absent,
            Presence::Unknown(why) => Reach::Unknown(why.clone()),
            Presence::Present => match self.of(&cx.outputs) {
                Ok(cluster) => Reach::Cluster(cluster),
                Err(failure) => Reach::Unknown(failure.to_string()),
            },
        }
    }

    /// The connection to an endpoint.
    ///
    /// # Errors
    /// When the endpoint's URL or certificate authority cannot be read.
    pub fn to(&self, endpoint: &ClusterEndpoint) -> Result<Cluster, Failure> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = last
            .as_ref()
            .filter(|cluster| cluster.endpoint() == endpoint)
        {
            return Ok(cluster.clone());
        }
        let cluster = Cluster::connect(endpoint, Arc::clone(&self.tokens))?;
        *last = Some(cluster.clone());
        Ok(cluster)
    }

    /// For applying: the connection, once the API server answers us.
    ///
    /// # Errors
    /// The endpoint is not known, or it did not answer in time.
    pub async fn ready(&self, cx: &Applying) -> Result<Cluster, Failure> {
        let endpoint = cx.get(&self.endpoint)?;
        let cluster = self.to(&endpoint)?;
        let answered = || self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered().as_ref() != Some(&endpoint) {
            let notify = |words: &str| cx.waiting_for(words);
            let reachable = cluster.reachable(ANSWERS_WITHIN, &notify);
            cx.wait("the API server to answer", reachable).await?;
            *answered() = Some(endpoint);
        }
        Ok(cluster)
    }

    fn of(&self, outputs: &Outputs) -> Result<Cluster, Failure> {
        let endpoint = outputs
            .get(&self.endpoint)
            .ok_or_else(|| Failure::bug("the cluster is there and its endpoint is not known"))?;
        self.to(&endpoint)
    }
}
