//! Creates: marked by the request itself, and done once whatever happens to
//! the answer.

use std::future::Future;

use aws_sdk_ec2::types::{DomainType, ResourceType, TagSpecification, VpcEndpointType};
use ipnet::Ipv4Net;
use trunkline_aws::address_of;
use trunkline_engine::{Create, Failure};
use trunkline_ids::{
    Address, AllocationId, InternetGatewayId, NatGatewayId, Output, Outputs, Ref, RouteTableId,
    SecurityGroupId, SubnetId, VpcEndpointId, VpcId, ZoneId,
};

use super::{Doer, FIRST_PAUSE, unfinished};
use crate::{
    Make, Mend, Rule, Via,
    observe::{Thing, read, why},
    tags::{self, Tags},
};

impl Doer<'_> {
    pub(super) async fn create(&self, make: Make, tags: &Tags) -> Result<Outputs, Failure> {
        match make {
            Make::Vpc { cidr } => self.create_vpc(cidr, tags).await,
            Make::InternetGateway => self.create_internet_gateway(tags).await,
            Make::Subnet { zone, cidr } => self.create_subnet(&zone, cidr, tags).await,
            Make::ElasticIp => self.create_elastic_ip(tags).await,
            Make::NatGateway { subnet, elastic_ip } => {
                self.create_nat_gateway(subnet, elastic_ip, tags).await
            }
            Make::RouteTable {
                default_route,
                subnets,
            } => self.create_route_table(default_route, subnets, tags).await,
            Make::S3Endpoint { route_tables } => self.create_s3_endpoint(route_tables, tags).await,
            Make::SecurityGroup {
                name,
                description,
                rules,
            } => {
                self.create_security_group(&name, &description, rules, tags)
                    .await
            }
        }
    }

    async fn create_vpc(&self, cidr: Ipv4Net, tags: &Tags) -> Result<Outputs, Failure> {
        let ask = || async move {
            let specification = tags::specification(ResourceType::Vpc, tags);
            let call = self.net.once.create_vpc().cidr_block(cidr.to_string());
            let made = call.tag_specifications(specification).send().await;
            let made = made.map_err(why("CreateVpc"))?;
            answered("CreateVpc", made.vpc().and_then(|vpc| vpc.vpc_id()))
        };
        let find = || async { self.pick(read::vpcs(self.ec2(), self.marked()).await?) };
        let id = self.by_mark(ask, find).await?;
        // DNS support is on from the start.
        let dns = self.mend(&id, Mend::DnsHostnames).await;
        dns.map_err(unfinished(&id))?;
        Ok(self.made(&VpcId::new(id)))
    }

    async fn create_internet_gateway(&self, tags: &Tags) -> Result<Outputs, Failure> {
        let ask = || async move {
            let specification = tags::specification(ResourceType::InternetGateway, tags);
            let call = self.net.once.create_internet_gateway();
            let made = call.tag_specifications(specification).send().await;
            let made = made.map_err(why("CreateInternetGateway"))?;
            let gateway = made.internet_gateway();
            let id = gateway.and_then(|gateway| gateway.internet_gateway_id());
            answered("CreateInternetGateway", id)
        };
        let find =
            || async { self.pick(read::internet_gateways(self.ec2(), self.marked()).await?) };
        let id = self.by_mark(ask, find).await?;
        let attached = self.mend(&id, Mend::Attach).await;
        attached.map_err(unfinished(&id))?;
        Ok(self.made(&InternetGatewayId::new(id)))
    }

    async fn create_subnet(
        &self,
        zone: &ZoneId,
        cidr: Ipv4Net,
        tags: &Tags,
    ) -> Result<Outputs, Failure> {
        let vpc = self.cx.get(&self.net.spec.vpc())?;
        // Of a new subnet EC2 says whether it gives public addresses by itself;
        // only in default subnets it should.
        let ask = || {
            let specification = tags::specification(ResourceType::Subnet, tags);
            let call = self.net.once.create_subnet().vpc_id(vpc.as_str());
            let call = call.availability_zone_id(zone.as_str());
            let call = call.cidr_block(cidr.to_string());
            async {
                let made = call.tag_specifications(specification).send().await;
                let made = made.map_err(why("CreateSubnet"))?;
                let subnet = made.subnet();
                let id = answered("CreateSubnet", subnet.and_then(|s| s.subnet_id()))?;
                let is_public = subnet.and_then(|s| s.map_public_ip_on_launch());
                Ok((id, is_public == Some(true)))
            }
        };
        let find = || async {
            let found = self.pick_one(read::subnets(self.ec2(), self.marked()).await?);
            Ok(found.map(|subnet| (subnet.id.to_string(), subnet.public_addresses)))
        };
        let (id, is_public) = self.by_mark(ask, find).await?;
        if is_public {
            let mended = self.mend(&id, Mend::NoPublicAddresses).await;
            mended.map_err(unfinished(&id))?;
        }
        Ok(self.made(&SubnetId::new(id)))
    }

    async fn create_elastic_ip(&self, tags: &Tags) -> Result<Outputs, Failure> {
        let ask = || async move {
            let specification = tags::specification(ResourceType::ElasticIp, tags);
            let call = self.net.once.allocate_address().domain(DomainType::Vpc);
            let made = call.tag_specifications(specification).send().await;
            let made = made.map_err(why("AllocateAddress"))?;
            answered("AllocateAddress", made.allocation_id())
        };
        let find = || async { self.pick(read::elastic_ips(self.ec2(), self.marked()).await?) };
        let id = self.by_mark(ask, find).await?;
        Ok(self.made(&AllocationId::new(id)))
    }

    async fn create_nat_gateway(
        &self,
        subnet: Address,
        elastic_ip: Address,
        tags: &Tags,
    ) -> Result<Outputs, Failure> {
        let subnet: SubnetId = self.cx.get(&Ref::new(subnet))?;
        let allocation: AllocationId = self.cx.get(&Ref::new(elastic_ip))?;
        let specification = tags::specification(ResourceType::Natgateway, tags);
        let ask = |token: String| {
            let call = self.ec2().create_nat_gateway().client_token(token);
            let call = call.subnet_id(subnet.as_str());
            let call = call.allocation_id(allocation.as_str());
            let call = call.tag_specifications(specification.clone());
            async {
                let made = call.send().await.map_err(why("CreateNatGateway"))?;
                let id = made.nat_gateway().and_then(|nat| nat.nat_gateway_id());
                answered("CreateNatGateway", id)
            }
        };
        let find = || async { self.pick(read::nat_gateways(self.ec2(), self.marked()).await?) };
        let id = self.with_token(ask, find).await?;
        let available = self.await_nat_gateway(&id).await;
        available.map_err(|failure| match failure.is_unclear() {
            true => unfinished(&id)(failure),
            false => failure,
        })?;
        Ok(self.made(&NatGatewayId::new(id)))
    }

    async fn create_route_table(
        &self,
        default_route: Option<Via>,
        subnets: Vec<Address>,
        tags: &Tags,
    ) -> Result<Outputs, Failure> {
        let vpc = self.cx.get(&self.net.spec.vpc())?;
        let specification = tags::specification(ResourceType::RouteTable, tags);
        let ask = |token: String| {
            let call = self.ec2().create_route_table().client_token(token);
            let call = call.vpc_id(vpc.as_str());
            let call = call.tag_specifications(specification.clone());
            async {
                let made = call.send().await.map_err(why("CreateRouteTable"))?;
                let id = made.route_table().and_then(|table| table.route_table_id());
                answered("CreateRouteTable", id)
            }
        };
        let find = || async { self.pick(read::route_tables(self.ec2(), self.marked()).await?) };
        let id = self.with_token(ask, find).await?;
        let route = default_route.map(Mend::DefaultRoute);
        for mend in route.into_iter().chain([Mend::Associate(subnets)]) {
            self.mend(&id, mend).await.map_err(unfinished(&id))?;
        }
        Ok(self.made(&RouteTableId::new(id)))
    }

    async fn create_s3_endpoint(
        &self,
        route_tables: Vec<Address>,
        tags: &Tags,
    ) -> Result<Outputs, Failure> {
        let vpc = self.cx.get(&self.net.spec.vpc())?;
        let tables = self.ids::<RouteTableId>(&route_tables)?;
        let service = format!("com.amazonaws.{}.s3", self.net.aws.region());
        let specification = tags::specification(ResourceType::VpcEndpoint, tags);
        let ask = |token: String| {
            let call = self.ec2().create_vpc_endpoint().client_token(token);
            let call = call.vpc_endpoint_type(VpcEndpointType::Gateway);
            let call = call.vpc_id(vpc.as_str()).service_name(&service);
            let call = call.set_route_table_ids(Some(tables.clone()));
            let call = call.tag_specifications(specification.clone());
            async {
                let made = call.send().await.map_err(why("CreateVpcEndpoint"))?;
                let id = made.vpc_endpoint().and_then(|e| e.vpc_endpoint_id());
                answered("CreateVpcEndpoint", id)
            }
        };
        let find = || async { self.pick(read::endpoints(self.ec2(), self.marked()).await?) };
        let id = self.with_token(ask, find).await?;
        Ok(self.made(&VpcEndpointId::new(id)))
    }

    async fn create_security_group(
        &self,
        name: &str,
        description: &str,
        rules: Vec<Rule>,
        tags: &Tags,
    ) -> Result<Outputs, Failure> {
        let vpc = self.cx.get(&self.net.spec.vpc())?;
        let ask = || {
            let specification = tags::specification(ResourceType::SecurityGroup, tags);
            let call = self.net.once.create_security_group().vpc_id(vpc.as_str());
            let call = call.group_name(name).description(description);
            async {
                let made = call.tag_specifications(specification).send().await;
                let made = made.map_err(why("CreateSecurityGroup"))?;
                answered("CreateSecurityGroup", made.group_id())
            }
        };
        let find = || async { self.pick(read::security_groups(self.ec2(), self.marked()).await?) };
        let id = self.by_mark(ask, find).await?;
        for rule in rules {
            let added = self.mend(&id, Mend::Authorize(rule)).await;
            added.map_err(unfinished(&id))?;
        }
        Ok(self.made(&SecurityGroupId::new(id)))
    }

    async fn by_mark<T, C, F>(
        &self,
        ask: impl Fn() -> C + Send + Sync,
        find: impl Fn() -> F + Send,
    ) -> Result<T, Failure>
    where
        T: Send,
        C: Future<Output = Result<T, Failure>> + Send,
        F: Future<Output = Result<Option<T>, Failure>> + Send,
    {
        Create::new(self.cx, self.cx.address())
            .by_mark(|| self.patiently_create(&ask), find)
            .await
    }

    /// A token of an earlier try may have made something that is gone by now:
    /// EC2 then goes on answering with its id. And it may have been sent with
    /// other parameters, which EC2 refuses. So after an open intent the thing
    /// is looked for, and a new token is taken when it does not show up.
    async fn with_token<C, F>(
        &self,
        ask: impl Fn(String) -> C + Send + Sync,
        find: impl Fn() -> F + Send + Sync,
    ) -> Result<String, Failure>
    where
        C: Future<Output = Result<String, Failure>> + Send,
        F: Future<Output = Result<Option<String>, Failure>> + Send,
    {
        let (ask, of) = (&ask, self.cx.address());
        let was_open = self.cx.intents().open(of).is_some();
        let asked = Create::new(self.cx, of)
            .with_token(|token| async move { self.patiently(|| ask(token.clone())).await })
            .await;
        match asked {
            Err(failure) if !was_open || failure.cause.code != "IdempotentParameterMismatch" => {
                return Err(failure);
            }
            Ok(id) if !was_open => return Ok(id),
            _ => {}
        }
        if let Some(id) = self.shows_up(asked.ok().as_deref(), find).await? {
            return Ok(id);
        }
        let intent = self.cx.intents().intend(of).await?;
        self.patiently(|| ask(intent.token.clone())).await
    }

    /// What is seen within the consistency window: `id` if it is known.
    async fn shows_up<F>(
        &self,
        id: Option<&str>,
        find: impl Fn() -> F + Send + Sync,
    ) -> Result<Option<String>, Failure>
    where
        F: Future<Output = Result<Option<String>, Failure>> + Send,
    {
        let until = tokio::time::Instant::now() + self.cx.consistency_window();
        loop {
            let found = self.patiently(&find).await?;
            if found.is_some() && (id.is_none() || found.as_deref() == id) {
                return Ok(found);
            }
            if tokio::time::Instant::now() + FIRST_PAUSE >= until {
                return Ok(None);
            }
            self.cx.pause(FIRST_PAUSE).await?;
        }
    }

    /// The id of the one of these that carries the address of this step.
    fn pick<T: Thing>(&self, all: Vec<T>) -> Result<Option<String>, Failure> {
        Ok(self.pick_one(all).map(|thing| thing.id().to_owned()))
    }

    fn pick_one<T: Thing>(&self, all: Vec<T>) -> Option<T> {
        let is_it = |thing: &T| {
            let pairs = thing.tags().iter();
            let pairs = pairs.map(|(key, value)| (key.as_str(), value.as_str()));
            let address = address_of(pairs, self.net.aws.environment());
            address.as_ref() == Some(self.cx.address()) && thing.is_alive()
        };
        all.into_iter().find(is_it)
    }

    fn made<T: Output>(&self, id: &T) -> Outputs {
        Outputs::new().with(self.cx.address(), id)
    }

    /// The ids of these resources.
    pub(super) fn ids<T: Output + Into<String>>(
        &self,
        of: &[Address],
    ) -> Result<Vec<String>, Failure> {
        let id = |address: &Address| Ok(self.cx.get(&Ref::<T>::new(address.clone()))?.into());
        of.iter().map(id).collect()
    }
}

/// The id in an answer. Without one it is open what was made.
fn answered(action: &str, id: Option<&str>) -> Result<String, Failure> {
    id.map(str::to_owned).ok_or_else(|| {
        let mut failure = Failure::bug(format!("{action} answered without an id"));
        failure.left = trunkline_engine::Left::Unknown;
        failure
    })
}

/// Tags of a security group's rule: the environment's mark and no address of
/// its own, the group has it.
pub(super) fn rule_tags(environment: &str) -> TagSpecification {
    let tags = [(
        trunkline_aws::ENVIRONMENT_TAG.to_owned(),
        environment.to_owned(),
    )];
    tags::specification(ResourceType::SecurityGroupRule, &tags.into_iter().collect())
}
