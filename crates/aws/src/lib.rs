//! SDK configuration and interceptors, ownership marks, the table of AWS error codes, the presigner of EKS tokens.
