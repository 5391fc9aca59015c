//! The EKS API: Auto Mode cluster, access entries.
