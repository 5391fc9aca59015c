//! VPC, subnets, routing, NAT, security groups, endpoints.
