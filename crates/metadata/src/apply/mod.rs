//! One file per command. A handler checks everything first and only then changes anything, so that a rejection
//! leaves no trace.

mod alter_topic;
mod create_topic;
mod delete_topic;
mod drain_node;
mod form_cluster;
mod init_producer;
mod links;
mod move_replicas;
mod raise_level;
mod recover_node;
mod register_node;
mod reissue_replicas;
mod remove_node;
mod replace_node;
mod report;
mod reshape;
mod restore;
mod seal;
mod set_replicas;

pub(crate) use create_topic::{CreateTopic, check_name};
pub(crate) use form_cluster::FormCluster;
pub(crate) use links::CreateLink;
pub(crate) use register_node::RegisterNode;
pub(crate) use report::MembershipChanged;
pub(crate) use reshape::ReshapeTopic;
pub(crate) use set_replicas::SetReplicas;
