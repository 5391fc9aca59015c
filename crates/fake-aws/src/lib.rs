//! The AWS front (recording, faults), the EKS emulator and the Auto Mode stand-in.
