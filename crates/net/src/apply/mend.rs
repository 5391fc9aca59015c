//! Changes in place. Each may be done twice: what is as wished already is
//! success.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, IpPermission, IpRange, Ipv6Range, UserIdGroupPair,
};
use trunkline_engine::Failure;
use trunkline_ids::{Address, InternetGatewayId, NatGatewayId, Ref, RouteTableId, SubnetId};

use super::{Doer, create::rule_tags};
use crate::{
    Direction, Mend, Peer, Rule, Via,
    observe::{read, why},
    tags,
};

const EVERYWHERE: &str = "0.0.0.0/0";

impl Doer<'_> {
    pub(super) async fn mend(&self, id: &str, mend: Mend) -> Result<(), Failure> {
        match mend {
            Mend::Tags(tags) => self.set_tags(id, &tags).await,
            Mend::DnsSupport => self.set_dns(id, true).await,
            Mend::DnsHostnames => self.set_dns(id, false).await,
            Mend::Attach => self.attach(id).await,
            Mend::Detach(vpc) => self.detach(id, &vpc).await,
            Mend::NoPublicAddresses => self.no_public_addresses(id).await,
            Mend::Await => self.await_nat_gateway(id).await,
            Mend::DefaultRoute(via) => self.set_default_route(id, &via).await,
            Mend::NoDefaultRoute => self.remove_default_route(id).await,
            Mend::Associate(subnets) => self.associate(id, &subnets).await,
            Mend::Disassociate(association) => self.disassociate(&association).await,
            Mend::RouteTables { add, remove } => self.set_route_tables(id, &add, remove).await,
            Mend::Authorize(rule) => self.authorize(id, &rule).await,
            Mend::Revoke { rule, direction } => self.revoke(id, &rule, direction).await,
        }
    }

    async fn set_tags(&self, id: &str, tags: &tags::Tags) -> Result<(), Failure> {
        self.patiently(|| async {
            let call = self.ec2().create_tags().resources(id);
            let done = call.set_tags(Some(tags::write(tags))).send().await;
            done.map(drop).map_err(why("CreateTags"))
        })
        .await
    }

    /// One attribute a call, as the API wants it.
    async fn set_dns(&self, id: &str, support: bool) -> Result<(), Failure> {
        self.patiently(|| async {
            let on = AttributeBooleanValue::builder().value(true).build();
            let call = self.ec2().modify_vpc_attribute().vpc_id(id);
            let call = match support {
                true => call.enable_dns_support(on),
                false => call.enable_dns_hostnames(on),
            };
            let done = call.send().await;
            done.map(drop).map_err(why("ModifyVpcAttribute"))
        })
        .await
    }

    async fn attach(&self, id: &str) -> Result<(), Failure> {
        let vpc = self.cx.get(&self.net.spec.vpc())?;
        let done = self
            .patiently(|| async {
                let call = self.ec2().attach_internet_gateway();
                let call = call.internet_gateway_id(id).vpc_id(vpc.as_str());
                let done = call.send().await;
                done.map(drop).map_err(why("AttachInternetGateway"))
            })
            .await;
        let Err(failure) = done else { return Ok(()) };
        if failure.cause.code != "Resource.AlreadyAssociated" {
            return Err(failure);
        }
        // To this VPC, by an earlier try whose answer was lost? Then all is well.
        let all = read::internet_gateways(self.ec2(), self.marked()).await?;
        let mut own = all.iter().filter(|gateway| gateway.id.as_str() == id);
        let is_ours = own.any(|gateway| gateway.attached.as_ref() == Some(&vpc));
        if is_ours { Ok(()) } else { Err(failure) }
    }

    async fn detach(&self, id: &str, vpc: &str) -> Result<(), Failure> {
        let what = format!("{id} to be detached");
        self.until_gone(&what, || async {
            let call = self.ec2().detach_internet_gateway();
            let done = call.internet_gateway_id(id).vpc_id(vpc).send().await;
            let done = done.map(drop).map_err(why("DetachInternetGateway"));
            well_if(done, &["Gateway.NotAttached"])
        })
        .await
    }

    async fn no_public_addresses(&self, id: &str) -> Result<(), Failure> {
        self.patiently(|| async {
            let off = AttributeBooleanValue::builder().value(false).build();
            let call = self.ec2().modify_subnet_attribute().subnet_id(id);
            let done = call.map_public_ip_on_launch(off).send().await;
            done.map(drop).map_err(why("ModifySubnetAttribute"))
        })
        .await
    }

    /// Creates the route, or replaces the one that is there.
    async fn set_default_route(&self, table: &str, via: &Via) -> Result<(), Failure> {
        let (gateway, nat) = match via {
            Via::InternetGateway(of) => {
                let id: InternetGatewayId = self.cx.get(&Ref::new(of.clone()))?;
                (Some(id.to_string()), None)
            }
            Via::NatGateway(of) => {
                let id: NatGatewayId = self.cx.get(&Ref::new(of.clone()))?;
                (None, Some(id.to_string()))
            }
        };
        let made = self
            .patiently(|| async {
                let call = self.ec2().create_route().route_table_id(table);
                let call = call.destination_cidr_block(EVERYWHERE);
                let call = call.set_gateway_id(gateway.clone());
                let done = call.set_nat_gateway_id(nat.clone()).send().await;
                done.map(drop).map_err(why("CreateRoute"))
            })
            .await;
        match made {
            Err(failure) if failure.cause.code == "RouteAlreadyExists" => {}
            ended => return ended,
        }
        self.patiently(|| async {
            let call = self.ec2().replace_route().route_table_id(table);
            let call = call.destination_cidr_block(EVERYWHERE);
            let call = call.set_gateway_id(gateway.clone());
            let done = call.set_nat_gateway_id(nat.clone()).send().await;
            done.map(drop).map_err(why("ReplaceRoute"))
        })
        .await
    }

    async fn remove_default_route(&self, table: &str) -> Result<(), Failure> {
        self.until_gone("the route to go", || async {
            let call = self.ec2().delete_route().route_table_id(table);
            let done = call.destination_cidr_block(EVERYWHERE).send().await;
            done.map(drop).map_err(why("DeleteRoute"))
        })
        .await
    }

    /// Associates subnets with a table, away from the tables they may be
    /// associated with: also from tables that are not ours.
    async fn associate(&self, table: &str, subnets: &[Address]) -> Result<(), Failure> {
        let subnets = self.ids::<SubnetId>(subnets)?;
        let filter = read::filter("association.subnet-id", subnets.iter().map(String::as_str));
        let now = read::route_tables(self.ec2(), filter).await?;
        for subnet in &subnets {
            let other = now.iter().find_map(|table| {
                let of_subnet = |a: &&crate::observe::Association| a.subnet.as_str() == subnet;
                let association = table.associations.iter().find(of_subnet)?;
                Some((&table.id, association.id.as_str()))
            });
            match other {
                Some((id, _)) if id.as_str() == table => {}
                Some((_, association)) => self.reassociate(table, association).await?,
                None => self.associate_one(table, subnet).await?,
            }
        }
        Ok(())
    }

    async fn associate_one(&self, table: &str, subnet: &str) -> Result<(), Failure> {
        self.patiently(|| async {
            let call = self.ec2().associate_route_table();
            let done = call.route_table_id(table).subnet_id(subnet).send().await;
            done.map(drop).map_err(why("AssociateRouteTable"))
        })
        .await
    }

    async fn reassociate(&self, table: &str, association: &str) -> Result<(), Failure> {
        self.patiently(|| async {
            let call = self.ec2().replace_route_table_association();
            let call = call.association_id(association);
            let done = call.route_table_id(table).send().await;
            done.map(drop).map_err(why("ReplaceRouteTableAssociation"))
        })
        .await
    }

    async fn disassociate(&self, association: &str) -> Result<(), Failure> {
        self.until_gone("the association to go", || async {
            let call = self.ec2().disassociate_route_table();
            let done = call.association_id(association).send().await;
            done.map(drop).map_err(why("DisassociateRouteTable"))
        })
        .await
    }

    async fn set_route_tables(
        &self,
        endpoint: &str,
        add: &[Address],
        remove: Vec<String>,
    ) -> Result<(), Failure> {
        let add = self.ids::<RouteTableId>(add)?;
        let some = |ids: &Vec<String>| (!ids.is_empty()).then(|| ids.clone());
        self.patiently(|| async {
            let call = self.ec2().modify_vpc_endpoint().vpc_endpoint_id(endpoint);
            let call = call.set_add_route_table_ids(some(&add));
            let done = call.set_remove_route_table_ids(some(&remove)).send().await;
            done.map(drop).map_err(why("ModifyVpcEndpoint"))
        })
        .await
    }

    async fn authorize(&self, group: &str, rule: &Rule) -> Result<(), Failure> {
        let (tags, rule_of) = (
            rule_tags(self.net.aws.environment()),
            permission(group, rule),
        );
        let done = self
            .patiently(|| async {
                match rule.direction {
                    Direction::Ingress => {
                        let call = self.ec2().authorize_security_group_ingress();
                        let call = call.group_id(group).tag_specifications(tags.clone());
                        let done = call.ip_permissions(rule_of.clone()).send().await;
                        done.map(drop).map_err(why("AuthorizeSecurityGroupIngress"))
                    }
                    Direction::Egress => {
                        let call = self.ec2().authorize_security_group_egress();
                        let call = call.group_id(group).tag_specifications(tags.clone());
                        let done = call.ip_permissions(rule_of.clone()).send().await;
                        done.map(drop).map_err(why("AuthorizeSecurityGroupEgress"))
                    }
                }
            })
            .await;
        well_if(done, &["InvalidPermission.Duplicate"])
    }

    async fn revoke(&self, group: &str, rule: &str, way: Direction) -> Result<(), Failure> {
        self.until_gone("the rule to go", || async {
            match way {
                Direction::Ingress => {
                    let call = self.ec2().revoke_security_group_ingress();
                    let call = call.group_id(group).security_group_rule_ids(rule);
                    let done = call.send().await;
                    done.map(drop).map_err(why("RevokeSecurityGroupIngress"))
                }
                Direction::Egress => {
                    let call = self.ec2().revoke_security_group_egress();
                    let call = call.group_id(group).security_group_rule_ids(rule);
                    let done = call.send().await;
                    done.map(drop).map_err(why("RevokeSecurityGroupEgress"))
                }
            }
        })
        .await
    }
}

/// Success, too, when the service says that it was so already.
fn well_if(done: Result<(), Failure>, codes: &[&str]) -> Result<(), Failure> {
    match done {
        Err(failure) if codes.contains(&failure.cause.code.as_str()) => Ok(()),
        ended => ended,
    }
}

fn permission(group: &str, rule: &Rule) -> IpPermission {
    let permission = IpPermission::builder().ip_protocol(&rule.protocol);
    let permission = match rule.ports {
        Some((first, last)) => permission.from_port(first).to_port(last),
        None => permission,
    };
    let description = Some(rule.description.clone()).filter(|words| !words.is_empty());
    let pair = |id: &str| {
        let pair = UserIdGroupPair::builder().group_id(id);
        pair.set_description(description.clone()).build()
    };
    let permission = match &rule.peer {
        Peer::Itself => permission.user_id_group_pairs(pair(group)),
        Peer::Other(id) => permission.user_id_group_pairs(pair(id)),
        Peer::Range(range) if range.contains(':') => permission.ipv6_ranges(
            Ipv6Range::builder()
                .cidr_ipv6(range)
                .set_description(description.clone())
                .build(),
        ),
        Peer::Range(range) => permission.ip_ranges(
            IpRange::builder()
                .cidr_ip(range)
                .set_description(description.clone())
                .build(),
        ),
    };
    permission.build()
}
