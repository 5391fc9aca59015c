//! The security group of the nodes, rule by rule.

use trunkline_aws::ENVIRONMENT_TAG;
use trunkline_engine::Change;
use trunkline_ids::Later;

use super::{CALL, Differences, Drafter, Wished};
use crate::{
    Make, Mend,
    observe::{FoundRule, SecurityGroup},
    tags::is_of_cluster,
};

impl Drafter<'_> {
    pub(super) fn security_group(&mut self) {
        if self.is_deployed() {
            let own = self.spec.nodes_security_group().address().clone();
            let wished = Wished {
                make: Make::SecurityGroup {
                    name: format!("trunkline-{}-nodes", self.spec.environment()),
                    description: "Nodes of the cluster".into(),
                    rules: self.spec.rules(),
                },
                about: format!("{} rules", self.spec.rules().len()),
                needs: vec![self.spec.vpc().address().clone()],
                estimate: CALL,
                address: own.clone(),
            };
            match self.seen.security_groups.of(&own).value().map(|g| &g.rules) {
                Some(Err(why)) => {
                    let why = format!("its rules: {why}");
                    self.unknown_in_part(own, why);
                }
                Some(Ok(rules)) => self.say_foreign_rules(rules),
                None => {}
            }
            self.settle(wished, &self.seen.security_groups, |own, group, to| {
                own.is_in_vpc(&group.vpc, to);
                own.compare_rules(group, to);
            });
        }
        self.prune(&self.seen.security_groups, &[], |_| Vec::new());
    }

    fn compare_rules(&self, group: &SecurityGroup, to: &mut Differences) {
        let Ok(found) = &group.rules else { return };
        for rule in self.spec.rules() {
            if !found.iter().any(|found| found.rule.is_same(&rule)) {
                to.change("rule", None, Later::Known(rule.words()));
                to.mends.push(Mend::Authorize(rule));
            }
        }
        for found in found {
            if self.is_ours(found) && !self.is_wished_rule(found) {
                to.changes.push(Change {
                    field: "rule".into(),
                    from: Some(found.rule.words()),
                    to: None,
                });
                to.mends.push(Mend::Revoke {
                    rule: found.id.clone(),
                    direction: found.rule.direction,
                });
            }
        }
    }

    fn is_wished_rule(&self, found: &FoundRule) -> bool {
        self.spec.rules().iter().any(|r| r.is_same(&found.rule))
    }

    /// A rule is ours by its own mark: others add rules to the group, too.
    fn is_ours(&self, found: &FoundRule) -> bool {
        found
            .tags
            .get(ENVIRONMENT_TAG)
            .is_some_and(|environment| environment == self.spec.environment())
    }

    fn say_foreign_rules(&mut self, rules: &[FoundRule]) {
        let cluster = self.spec.cluster().as_str();
        let foreign = rules.iter().filter(|found| {
            let of_auto_mode = is_of_cluster(&found.tags, cluster);
            !self.is_wished_rule(found) && !self.is_ours(found) && !of_auto_mode
        });
        let lines: Vec<String> = foreign
            .map(|found| {
                let words = found.rule.words();
                format!("security group rule {} on nodes: {words}", found.id)
            })
            .collect();
        self.draft.foreign.extend(lines);
    }
}
