//! VPC, internet gateway, subnets.

use trunkline_engine::Change;
use trunkline_ids::VpcId;

use super::{CALL, Differences, Drafter, Wished};
use crate::{
    Make, Mend,
    observe::{InternetGateway, Thing, Vpc},
    spec::{Reach, address, subnet},
};

impl Drafter<'_> {
    pub(super) fn vpc(&mut self) {
        if self.is_deployed() {
            let wished = Wished {
                address: self.spec.vpc().address().clone(),
                make: Make::Vpc {
                    cidr: self.spec.cidr(),
                },
                about: self.spec.cidr().to_string(),
                needs: Vec::new(),
                estimate: CALL * 2,
            };
            let vpc = self.spec.vpc().address().clone();
            if let Some(Err(why)) = self.seen.vpcs.of(&vpc).value().map(|vpc| &vpc.dns) {
                let why = format!("its DNS attributes: {why}");
                self.unknown_in_part(vpc, why);
            }
            self.settle(wished, &self.seen.vpcs, Self::compare_vpc);
        }
        self.prune(&self.seen.vpcs, &[], |_| Vec::new());
    }

    fn compare_vpc(&self, vpc: &Vpc, to: &mut Differences) {
        let cidr = self.spec.cidr().to_string();
        if vpc.cidr != cidr {
            to.fixed
                .push(format!("it is {} where {cidr} is wished", vpc.cidr));
        }
        let Ok(dns) = &vpc.dns else { return };
        if !dns.support {
            to.changes
                .push(Change::new("enableDnsSupport", "false", "true"));
            to.mends.push(Mend::DnsSupport);
        }
        if !dns.hostnames {
            to.changes
                .push(Change::new("enableDnsHostnames", "false", "true"));
            to.mends.push(Mend::DnsHostnames);
        }
    }

    pub(super) fn internet_gateway(&mut self) {
        if self.is_deployed() {
            let wished = Wished {
                address: address(InternetGateway::KIND, "main"),
                make: Make::InternetGateway,
                about: "attached to the VPC".into(),
                needs: vec![self.spec.vpc().address().clone()],
                estimate: CALL,
            };
            self.settle(wished, &self.seen.internet_gateways, |own, gateway, to| {
                own.compare_attachment(gateway, to);
            });
        }
        self.prune(&self.seen.internet_gateways, &[], |gateway| {
            let attached = gateway.attached.iter();
            attached.map(|vpc| Mend::Detach(vpc.to_string())).collect()
        });
    }

    fn compare_attachment(&self, gateway: &InternetGateway, to: &mut Differences) {
        let vpc = self.spec.vpc();
        match (&gateway.attached, self.outputs.get(&vpc)) {
            (Some(attached), Some(wished)) if *attached == wished => {}
            (Some(attached), _) => {
                let wished = self.later(&vpc);
                to.fixed
                    .push(format!("it is attached to {attached}, not to {wished}"));
            }
            (None, _) => {
                to.change("attached to", None, self.later(&vpc));
                to.mends.push(Mend::Attach);
                to.needs.push(vpc.address().clone());
            }
        }
    }

    pub(super) fn subnets(&mut self) {
        if self.is_deployed() {
            for ranges in self.spec.ranges() {
                for reach in Reach::ALL {
                    let (zone, cidr) = (ranges.zone.clone(), ranges.of(reach));
                    let wished = Wished {
                        address: subnet(reach, &zone),
                        about: format!("{cidr} in {zone}, {}", reach.word()),
                        make: Make::Subnet {
                            zone: zone.clone(),
                            cidr,
                        },
                        needs: vec![self.spec.vpc().address().clone()],
                        estimate: CALL,
                    };
                    self.settle(wished, &self.seen.subnets, |own, subnet, to| {
                        own.is_in_vpc(&subnet.vpc, to);
                        let (is, wished) = (&subnet.cidr, cidr.to_string());
                        if *is != wished {
                            to.fixed
                                .push(format!("it is {is} where {wished} is wished"));
                        }
                        if subnet.zone != zone {
                            to.fixed
                                .push(format!("it lies in {}, not in {zone}", subnet.zone));
                        }
                        // Nothing of ours takes a public address by itself:
                        // NAT gateways and load balancers bring their own.
                        if subnet.public_addresses {
                            to.changes
                                .push(Change::new("mapPublicIpOnLaunch", "true", "false"));
                            to.mends.push(Mend::NoPublicAddresses);
                        }
                    });
                }
            }
        }
        self.prune(&self.seen.subnets, &[], |_| Vec::new());
    }

    /// Whether something lies in the VPC that is wished.
    pub(super) fn is_in_vpc(&self, vpc: &VpcId, to: &mut Differences) {
        let wished = self.outputs.get(&self.spec.vpc());
        if let Some(wished) = wished.filter(|wished| wished != vpc) {
            to.fixed.push(format!("it lies in {vpc}, not in {wished}"));
        }
    }
}
