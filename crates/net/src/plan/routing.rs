//! Elastic IPs, NAT gateways, route tables, the S3 endpoint.

use trunkline_ids::{
    Address, InternetGatewayId, Later, NatGatewayId, Ref, RouteTableId, SubnetId, ZoneId,
};

use super::{CALL, Differences, Drafter, NAT_GATEWAY, Wished};
use crate::{
    Make, Mend, Via,
    observe::{ElasticIp, Endpoint, InternetGateway, Life, NatGateway, RouteTable, Thing},
    spec::{Reach, address, private_table, subnet},
};

impl Drafter<'_> {
    pub(super) fn elastic_ips(&mut self) {
        for zone in self.nat_zones() {
            let wished = Wished {
                address: address(ElasticIp::KIND, zone.as_str()),
                make: Make::ElasticIp,
                about: format!("of the NAT gateway in {zone}"),
                needs: Vec::new(),
                estimate: CALL,
            };
            self.settle(wished, &self.seen.elastic_ips, |_, _, _| {});
        }
        self.prune(&self.seen.elastic_ips, &[], |_| Vec::new());
    }

    pub(super) fn nat_gateways(&mut self) {
        for zone in self.nat_zones() {
            let public = subnet(Reach::Public, &zone);
            let elastic_ip = address(ElasticIp::KIND, zone.as_str());
            let gateway = address(InternetGateway::KIND, "main");
            let wished = Wished {
                address: address(NatGateway::KIND, zone.as_str()),
                about: format!("in {zone}"),
                needs: vec![public.clone(), elastic_ip.clone(), gateway],
                make: Make::NatGateway {
                    subnet: public.clone(),
                    elastic_ip,
                },
                estimate: NAT_GATEWAY,
            };
            self.settle(wished, &self.seen.nat_gateways, |own, nat, to| {
                let wished: Option<SubnetId> = own.outputs.get(&Ref::new(public));
                if let Some(wished) = wished.filter(|wished| *wished != nat.subnet) {
                    let is = &nat.subnet;
                    to.fixed.push(format!("it lies in {is}, not in {wished}"));
                }
                if nat.life == Life::Coming {
                    let available = Later::Known("available".to_owned());
                    to.change("state", Some(nat.life.words()), available);
                    to.mends.push(Mend::Await);
                    to.estimate = Some(NAT_GATEWAY);
                }
            });
        }
        // A gateway goes once no private subnet goes out by it any more.
        let tables: Vec<Address> = match self.is_deployed() {
            true => self.spec.zones().map(private_table).collect(),
            false => Vec::new(),
        };
        let before = self.steps.len();
        self.prune(&self.seen.nat_gateways, &tables, |_| Vec::new());
        for step in &mut self.steps[before..] {
            step.estimate = NAT_GATEWAY / 2;
        }
    }

    pub(super) fn route_tables(&mut self) {
        if self.is_deployed() {
            let gateway = address(InternetGateway::KIND, "main");
            let zones: Vec<ZoneId> = self.spec.zones().cloned().collect();
            let public = zones.iter().map(|zone| subnet(Reach::Public, zone));
            self.route_table(
                address(RouteTable::KIND, "public"),
                Some(Via::InternetGateway(gateway)),
                public.collect(),
            );
            for zone in &zones {
                let via = self.spec.way_out(zone);
                let via = via.map(|zone| address(NatGateway::KIND, zone.as_str()));
                self.route_table(
                    private_table(zone),
                    via.map(Via::NatGateway),
                    vec![subnet(Reach::Private, zone)],
                );
            }
        }
        if self.replaces_a_nat_gateway() {
            return;
        }
        let endpoint = address(Endpoint::KIND, "s3");
        self.prune(&self.seen.route_tables, &[endpoint], |table| {
            let associations = table.associations.iter();
            associations
                .map(|association| Mend::Disassociate(association.id.clone()))
                .collect()
        });
    }

    /// Whether a gateway is deleted to be made anew. Tables and endpoints that
    /// are no longer wished then stay until the next plan: by the order of
    /// kinds their deletes come before that of any gateway, and they follow
    /// updates that may wait for the new one.
    fn replaces_a_nat_gateway(&self) -> bool {
        let dies = |nat: &NatGateway| !nat.is_alive();
        let mut all = self.seen.nat_gateways.iter();
        all.any(|(of, seen)| self.is_wished(of) && seen.value().is_some_and(dies))
    }

    fn route_table(&mut self, own: Address, via: Option<Via>, subnets: Vec<Address>) {
        let via_address = via.iter().map(|via| via.address().clone());
        let needs = [self.spec.vpc().address().clone()].into_iter();
        let wished = Wished {
            about: match &via {
                Some(via) => format!("default route to the {}", via_words(via)),
                None => "no default route".to_owned(),
            },
            needs: needs.chain(via_address).chain(subnets.clone()).collect(),
            make: Make::RouteTable {
                default_route: via.clone(),
                subnets: subnets.clone(),
            },
            address: own,
            estimate: CALL,
        };
        if let Some(table) = self.seen.route_tables.of(&wished.address).value() {
            self.say_foreign_routes(&wished.address, table, via.is_some());
        }
        self.settle(wished, &self.seen.route_tables, |own, table, to| {
            own.is_in_vpc(&table.vpc, to);
            own.compare_default_route(table, via, to);
            own.compare_associations(table, &subnets, to);
        });
    }

    fn compare_default_route(&self, table: &RouteTable, via: Option<Via>, to: &mut Differences) {
        const FIELD: &str = "default route";
        let is = table.default_route();
        let Some(via) = via else {
            // Somebody may have given the subnet a way out of their own; only
            // one by a gateway of ours is ours to take away.
            if let Some(route) = is.filter(|route| self.is_our_nat(&route.via)) {
                to.changes.push(trunkline_engine::Change {
                    field: FIELD.into(),
                    from: Some(route.via.clone()),
                    to: None,
                });
                to.mends.push(Mend::NoDefaultRoute);
            }
            return;
        };
        let wished = match &via {
            Via::InternetGateway(of) => self.later(&Ref::<InternetGatewayId>::new(of.clone())),
            Via::NatGateway(of) => self.later(&Ref::<NatGatewayId>::new(of.clone())),
        };
        let is_wished =
            is.is_some_and(|route| route.active && wished == Later::Known(route.via.clone()));
        if !is_wished {
            let from = is.map(|route| match route.active {
                true => route.via.clone(),
                false => format!("{} (a black hole)", route.via),
            });
            to.change(FIELD, from, wished);
            to.needs.push(via.address().clone());
            to.mends.push(Mend::DefaultRoute(via));
        }
    }

    fn is_our_nat(&self, id: &str) -> bool {
        self.seen
            .nat_gateways
            .iter()
            .filter_map(|(_, seen)| seen.value())
            .any(|nat| nat.id.as_str() == id)
    }

    fn compare_associations(&self, table: &RouteTable, wished: &[Address], to: &mut Differences) {
        let missing: Vec<Address> = wished
            .iter()
            .filter(|subnet| {
                let id = self.outputs.get(&Ref::new((*subnet).clone()));
                !table
                    .associations
                    .iter()
                    .any(|a| Some(&a.subnet) == id.as_ref())
            })
            .cloned()
            .collect();
        for subnet in &missing {
            let name = Later::Known(subnet.name().to_owned());
            to.change("association", None, name);
        }
        if !missing.is_empty() {
            to.needs.extend(missing.clone());
            to.mends.push(Mend::Associate(missing));
        }
    }

    fn say_foreign_routes(&mut self, of: &Address, table: &RouteTable, has_default: bool) {
        for route in &table.routes {
            let is_default = route.to == "0.0.0.0/0";
            if is_default && (has_default || self.is_our_nat(&route.via)) {
                continue;
            }
            self.draft.foreign.push(format!(
                "route {} via {} in {of} ({})",
                route.to, route.via, table.id
            ));
        }
    }

    pub(super) fn endpoint(&mut self) {
        if self.is_deployed() {
            let zones = self.spec.zones().map(private_table);
            let tables: Vec<Address> = [address(RouteTable::KIND, "public")]
                .into_iter()
                .chain(zones)
                .collect();
            let vpc = self.spec.vpc().address().clone();
            let wished = Wished {
                address: address(Endpoint::KIND, "s3"),
                make: Make::S3Endpoint {
                    route_tables: tables.clone(),
                },
                about: "S3 without the NAT gateways, from all route tables".into(),
                needs: [vpc].into_iter().chain(tables.clone()).collect(),
                estimate: CALL * 2,
            };
            self.settle(wished, &self.seen.endpoints, |own, endpoint, to| {
                own.is_in_vpc(&endpoint.vpc, to);
                own.compare_route_tables(endpoint, tables, to);
            });
        }
        if !self.replaces_a_nat_gateway() {
            self.prune(&self.seen.endpoints, &[], |_| Vec::new());
        }
    }

    fn compare_route_tables(
        &self,
        endpoint: &Endpoint,
        wished: Vec<Address>,
        to: &mut Differences,
    ) {
        if !endpoint.service.ends_with(".s3") {
            to.fixed
                .push(format!("it is of {}, not of S3", endpoint.service));
        }
        let has = |of: &Address| {
            let id: Option<RouteTableId> = self.outputs.get(&Ref::new(of.clone()));
            id.is_some_and(|id| endpoint.route_tables.contains(&id))
        };
        let (_, add): (Vec<Address>, Vec<Address>) = wished.into_iter().partition(has);
        // Tables of ours that go; tables of others are theirs.
        let remove: Vec<String> = self
            .seen
            .route_tables
            .iter()
            .filter(|(of, _)| !self.is_wished(of) && !self.replaces_a_nat_gateway())
            .filter_map(|(_, seen)| seen.value())
            .filter(|table| endpoint.route_tables.contains(&table.id))
            .map(|table| table.id.to_string())
            .collect();
        for table in &add {
            let name = Later::Known(table.name().to_owned());
            to.change("route table", None, name);
        }
        for table in &remove {
            to.changes.push(trunkline_engine::Change {
                field: "route table".into(),
                from: Some(table.clone()),
                to: None,
            });
        }
        if !(add.is_empty() && remove.is_empty()) {
            to.needs.extend(add.clone());
            to.mends.push(Mend::RouteTables { add, remove });
        }
    }

    /// The zones whose NAT gateways are wished now.
    fn nat_zones(&self) -> Vec<ZoneId> {
        match self.is_deployed() {
            true => self.spec.nat_zones().into_iter().cloned().collect(),
            false => Vec::new(),
        }
    }
}

fn via_words(via: &Via) -> String {
    match via {
        Via::InternetGateway(_) => "internet gateway".to_owned(),
        Via::NatGateway(of) => format!("NAT gateway in {}", of.name()),
    }
}
