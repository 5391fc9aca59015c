//! Uninstalling, with a wait of our own: helm's returns before things are gone,
//! and an install right after would lose them to the garbage collector.

use std::{future, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use trunkline_engine::{Failure, FailureKind};
use trunkline_objects::{Cluster, Object, ObjectRef, Propagation};

use crate::{
    Helm, Status,
    install::seconds,
    private::Private,
    release::{is_kept, objects},
    revisions::{Installed, installed_one, manifest},
};

/// Waits at once.
const WAITS: usize = 16;

/// What an uninstall did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uninstalled {
    /// Objects of the release that are gone.
    pub gone: Vec<ObjectRef>,
    /// Objects that the chart says are to stay (CRDs, volumes).
    pub kept: Vec<ObjectRef>,
}

impl Helm {
    /// Removes a release and waits until its objects, and all they own, are gone.
    /// A release that is not there is nothing to do. Goes on from an uninstall
    /// that was killed.
    ///
    /// # Errors
    /// helm's; `Stopped` when something is still there at the end, naming it.
    pub async fn uninstall(
        &self,
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        within: Duration,
        notify: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Uninstalled, Failure> {
        let Some(found) = installed_one(cluster, namespace, name).await? else {
            return Ok(Uninstalled::default());
        };
        let (kept, going) = parts(cluster, &found).await?;
        let private = Private::new()?;
        private.kubeconfig(cluster).await?;
        let mut command = private.command(self);
        command.args([
            "uninstall",
            name,
            "--namespace",
            namespace,
            "--ignore-not-found",
        ]);
        // Foreground: an owner is only gone when what it owns is.
        command.args(["--cascade", "foreground", "--timeout", &seconds(within)]);
        let action = format!("uninstall {name}");
        let limit = within * 2 + Duration::from_secs(60);
        let done = self
            .with_cluster(
                &private,
                cluster,
                &action,
                command,
                limit,
                future::pending(),
            )
            .await;
        done?;
        self.forget(cluster, namespace, name).await?;
        let gone = wait_gone(cluster, going, within, notify).await?;
        Ok(Uninstalled { gone, kept })
    }

    /// Removes revisions that helm left: an uninstall of what was pending ends
    /// well and keeps their Secrets.
    async fn forget(&self, cluster: &Cluster, namespace: &str, name: &str) -> Result<(), Failure> {
        while let Some(left) = installed_one(cluster, namespace, name).await? {
            cluster
                .delete(&left.secret(), Propagation::Background, Some(&left.uid))
                .await?;
        }
        Ok(())
    }
}

/// What stays and what goes, out of the release's own manifest.
async fn parts(
    cluster: &Cluster,
    found: &Installed,
) -> Result<(Vec<ObjectRef>, Vec<ObjectRef>), Failure> {
    let Some(secret) = cluster.get(&found.secret()).await? else {
        return Ok((Vec::new(), Vec::new()));
    };
    let all = objects("uninstall", &manifest(&secret)?)?;
    let mut parts = (Vec::new(), Vec::new());
    for object in all {
        let reference = placed(cluster, &object, &found.namespace).await?;
        let side = if is_kept(&object) {
            &mut parts.0
        } else {
            &mut parts.1
        };
        side.push(reference);
    }
    // An uninstall that was killed may have removed the rest already; what is
    // waited for must be there now.
    if found.status == Status::Uninstalling {
        tracing::debug!(release = found.name, "going on with an uninstall");
    }
    Ok(parts)
}

/// The object's reference, in the release's namespace when it names none and
/// needs one.
async fn placed(cluster: &Cluster, object: &Object, namespace: &str) -> Result<ObjectRef, Failure> {
    use trunkline_objects::Lookup;
    let mut reference = object.reference().clone();
    if reference.namespace.is_none()
        && let Lookup::Served(resource) = cluster.lookup(&reference.kind).await?
        && resource.namespaced
    {
        reference.namespace = Some(namespace.to_owned());
    }
    Ok(reference)
}

async fn wait_gone(
    cluster: &Cluster,
    going: Vec<ObjectRef>,
    within: Duration,
    notify: &(dyn Fn(&str) + Send + Sync),
) -> Result<Vec<ObjectRef>, Failure> {
    let waits = going.into_iter().map(async |target| {
        // Asks again for the deletion: an object that was made between helm's look
        // and its end would be waited for in vain.
        match cluster
            .delete_and_wait(&target, Propagation::Foreground, within, notify)
            .await
        {
            Ok(_) => Ok(target),
            Err(failure) if failure.kind == FailureKind::Gone => Ok(target),
            Err(failure) => Err(failure),
        }
    });
    stream::iter(waits).buffered(WAITS).try_collect().await
}
