//! The one place that starts `helm`: charts, rendering, releases.
//!
//! # In short
//! ```text
//! Helm::at("helm" or path).await?                 version checked: 4.x; a clear failure otherwise
//!   .passing("HTTPS_PROXY", …)                    the only variables helm gets of ours
//!   .chart(&ChartSource, name, version, cache_dir) -> Chart      found or pulled; with digest
//!   .render(&Release, &Capabilities) -> Vec<Object>              no cluster needed; CRDs, hooks too
//!   .upgrade_install(&Cluster, &Release, Installing, &notify)    waits until ready
//!   .uninstall(&Cluster, namespace, name, within, &notify) -> Uninstalled { gone, kept }
//! installed(&Cluster) -> Vec<Installed>           all releases, one metadata-only list call
//! installed_one(&Cluster, namespace, name) -> Option<Installed>
//!
//! ChartSource::parse("oci://… | http(s)://… | folder")
//! Release { name, namespace, chart, values: json map }.inputs() -> hash, kept as a label
//! Installed { namespace, name, revision, status, inputs, uid }.is_settled(&release.inputs())
//!     true: nothing to do, do not call helm (an unchanged upgrade makes a revision, runs hooks)
//! Installing { timeout, pending: Pending::Recover }   Recover only while holding the lease
//! is_hook(&object), is_kept(&object)
//! ```
//! The release's namespace must exist: apply a marked `Namespace` first. Values
//! hold no secrets. `notify` is `&(dyn Fn(&str) + Send + Sync)`.
//!
//! # What helm gets
//! A private folder (0700) with a kubeconfig that names a token file which is
//! renewed while helm runs, the values as a file, and an empty environment. It
//! runs in a process group of its own, is killed when the future is dropped, and
//! by the kernel when we are.

mod binary;
mod chart;
mod child;
mod failure;
mod install;
mod private;
mod release;
mod revisions;
mod uninstall;
mod yaml;

pub use binary::Helm;
pub use chart::{Chart, ChartSource};
pub use install::{Installing, Pending};
pub use release::{Capabilities, INPUTS_LABEL, Release, is_hook, is_kept};
pub use revisions::{Installed, Status, installed, installed_one};
pub use uninstall::Uninstalled;
