//! Names of things: stable addresses of resources, newtypes of the ids that
//! AWS assigns, and typed references between them. No SDK, no I/O.
//!
//! A resource is named by its [`Address`] everywhere: marks, plan, journal,
//! errors. What AWS calls it (`vpc-0ab…`) is an [`Output`], reached through a
//! [`Ref`] that carries its type, so that a subnet's id cannot be handed to
//! something that wants a VPC's.

mod address;
mod outputs;
mod values;

pub use address::{Address, AddressError, Kind};
pub use outputs::{Later, Output, Outputs, Ref};
pub use values::*;
