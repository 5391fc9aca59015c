//! Does one action.

use std::time::Duration;

use trunkline_engine::{Applying, Failure};
use trunkline_helm_wrapper::{Installing, Pending};
use trunkline_ids::Outputs;
use trunkline_objects::{
    Cluster, Conflicts, Inventory, Kind, Object, Propagation, Selection, Verdict,
};

use crate::{
    Charts,
    catalog::catalog,
    plan::Action,
    platform::{self, NODE_POOL},
    spec::AddonsSpec,
};

/// helm's own time-out for each of its waits.
const HELM: Duration = Duration::from_secs(10 * 60);
/// How long a node class may take to find its subnets and groups.
const NODE_CLASS: Duration = Duration::from_secs(3 * 60);
/// How long nodes may take to drain and go.
const NODES_GONE: Duration = Duration::from_secs(20 * 60);

pub(crate) struct Applier<'a> {
    pub(crate) spec: &'a AddonsSpec,
    pub(crate) charts: &'a Charts,
    pub(crate) inventory: &'a Inventory,
    pub(crate) cluster: Cluster,
}

impl Applier<'_> {
    pub(crate) async fn apply(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        match action {
            Action::Apply => self.object(cx).await?,
            Action::Prune(object) => {
                self.cluster
                    .delete(&object, Propagation::Background, None)
                    .await?;
            }
            Action::Install => self.install(cx).await?,
            Action::DeleteNodePool => self.delete_node_pool(cx).await?,
            Action::DeleteNodeClass => self.delete_node_class(cx).await?,
        }
        Ok(Outputs::new())
    }

    async fn object(&self, cx: &Applying) -> Result<(), Failure> {
        let object = self.wished(cx)?;
        self.inventory
            .apply(&self.cluster, &object, Conflicts::Force)
            .await?;
        if *cx.address() == platform::node_class_address() {
            self.node_class_ready(&object, cx).await?;
        }
        Ok(())
    }

    fn wished(&self, cx: &Applying) -> Result<Object, Failure> {
        platform::objects(self.spec)
            .into_iter()
            .find(|object| object.address().as_ref() == Some(cx.address()))
            .ok_or_else(|| Failure::bug(format!("{} is not wished: plan again", cx.address())))
    }

    /// A node class whose role has no access entry, or whose tags select no
    /// subnet, says so here and not in pods that stay pending for ever.
    async fn node_class_ready(&self, object: &Object, cx: &Applying) -> Result<(), Failure> {
        let ready = |found: Option<&Object>| match found.and_then(|o| o.condition("Ready")) {
            Some(("True", _)) => Verdict::Done,
            Some((_, why)) => Verdict::Waiting(format!("node class not ready: {why}")),
            None => Verdict::Waiting("Auto Mode to look at the node class".to_owned()),
        };
        let notify = |words: &str| cx.waiting_for(words);
        let waiting = self
            .cluster
            .wait(object.reference(), NODE_CLASS, ready, &notify);
        cx.wait("the node class", waiting).await.map(|_| ())
    }

    async fn install(&self, cx: &Applying) -> Result<(), Failure> {
        let entry = catalog(self.spec)
            .into_iter()
            .find(|entry| entry.address == *cx.address())
            .ok_or_else(|| Failure::bug(format!("{} is not wished: plan again", cx.address())))?;
        let release = self.charts.release(&entry).await?;
        // Whoever walks holds the lease, so a pending revision was left by a
        // helm that was killed.
        let how = Installing {
            timeout: HELM,
            pending: Pending::Recover,
        };
        let notify = |words: &str| cx.waiting_for(words);
        self.charts
            .helm
            .upgrade_install(&self.cluster, &release, how, &notify)
            .await
    }

    async fn delete_node_pool(&self, cx: &Applying) -> Result<(), Failure> {
        let pool = Kind::new("karpenter.sh/v1", "NodePool").cluster_wide(NODE_POOL);
        let notify = |words: &str| cx.waiting_for(words);
        let (cluster, foreground) = (&self.cluster, Propagation::Foreground);
        let deleting = cluster.delete_and_wait(&pool, foreground, NODES_GONE, &notify);
        cx.wait("the node pool to go", deleting).await?;
        let nodes = Selection::labelled(format!("karpenter.sh/nodepool={NODE_POOL}"));
        let none_left = || async {
            let left = cluster.list(&Kind::new("v1", "Node"), &nodes).await?;
            Ok(left.is_empty().then_some(()))
        };
        cx.poll(
            "the last node to go",
            Duration::from_millis(500),
            NODES_GONE,
            none_left,
        )
        .await
    }

    async fn delete_node_class(&self, cx: &Applying) -> Result<(), Failure> {
        let object = self.wished(cx)?;
        let notify = |words: &str| cx.waiting_for(words);
        let background = Propagation::Background;
        let deleting =
            self.cluster
                .delete_and_wait(object.reference(), background, NODE_CLASS, &notify);
        cx.wait("the node class to go", deleting).await.map(|_| ())
    }
}
