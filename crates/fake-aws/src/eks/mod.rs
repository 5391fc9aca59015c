//! The EKS emulator: the whole surface of EKS Auto Mode that Trunkline calls,
//! with AWS's states, errors and client-token idempotency. A cluster's
//! control plane is a real one, made by whoever embeds this crate.

mod control_plane;
mod route;

pub use control_plane::{ControlPlane, ControlPlanes, Endpoint, NoControlPlane};
pub(crate) use route::{operation, subjects};
