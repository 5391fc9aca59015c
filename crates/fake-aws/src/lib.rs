//! The AWS front (recording, faults), the EKS emulator and the Auto Mode stand-in.
//!
//! One address stands in for AWS: [`front`] answers EKS by the emulator in
//! [`eks`] and passes everything else to [`moto`], records every call
//! ([`record`]) and applies faults ([`faults`]). [`testing::TestAws`] starts
//! the whole of it inside a test.

pub mod auto_mode;
pub mod eks;
pub mod faults;
pub mod front;
pub mod moto;
pub mod record;
pub mod testing;
mod xml;
