//! The gRPC API's messages, and what is made of settings and errors.

use std::fmt::Debug;

use prost::Message;
use weir_proto::{error_from_status, error_to_status, v1};
use weir_types::{TopicKind, TopicPolicy, WeirError};

use crate::input::Input;

macro_rules! messages {
    ($($name:ident),* $(,)?) => {
        const MESSAGES: &[fn(&[u8])] = &[$(decoded::<v1::$name>),*];
    };
}

messages![
    CreateTopicRequest,
    AlterTopicRequest,
    DeleteTopicRequest,
    ListTopicsRequest,
    DescribeTopicRequest,
    ClusterStatusRequest,
    WatchRoutingRequest,
    InitProducerRequest,
    GroupHeartbeatRequest,
    GroupLeaveRequest,
    ListGroupsRequest,
    DescribeGroupRequest,
    ResetGroupRequest,
    PeerRequest,
    ProduceRequest,
    WorkRequest,
    ReceiveRequest,
    SettleRequest,
    PeekRequest,
    QueueStatsRequest,
    ListParkedRequest,
    RedriveRequest,
    DiscardRequest,
    FetchRequest,
    ReadRequest,
    OffsetsRequest,
    CommitAndAppendRequest,
    CommitOffsetRequest,
    CommittedOffsetRequest,
    FenceGroupRequest,
    FenceProducerRequest,
    RoutingTable,
    ReceiveResponse,
    FetchResponse,
    CreateLinkRequest,
    DeleteLinkRequest,
    ListLinksRequest,
    CancelScheduledRequest,
    PurgeRequest,
    ExplainRequest,
    ExplainResponse,
    ReplayRequest,
    ReplayResponse,
];

/// What decodes is encoded to the same message again.
fn decoded<M: Message + Default + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else { return };
    assert_eq!(M::decode(&message.encode_to_vec()[..]).as_ref(), Ok(&message));
}

/// A message that decodes is encoded to the same again; settings that say all say it of any topic, and errors survive
/// as a gRPC status.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = usize::from(input.u8());
    let bytes = input.rest();
    if let Some(decode) = MESSAGES.get(choice) {
        return decode(bytes);
    }
    if let Ok(settings) = v1::TopicSettings::decode(bytes) {
        for kind in [TopicKind::Queue, TopicKind::Stream] {
            let Some(policy) = settings.applied_to(&TopicPolicy::default_for(kind)) else { continue };
            let all = v1::TopicSettings::from(&policy);
            assert_eq!(all.applied_to(&TopicPolicy::default_for(kind)), Some(policy), "all settings say all");
        }
    }
    if let Ok(error) = v1::Error::decode(bytes) {
        let error = WeirError::from(error);
        assert_eq!(error_from_status(&error_to_status(error.clone())), error);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let queue = TopicPolicy::default_for(TopicKind::Queue);
    let stream = TopicPolicy::default_for(TopicKind::Stream);
    let settings = [queue, stream].map(|policy| v1::TopicSettings::from(&policy));
    let error = WeirError::new(weir_types::ErrorKind::Redirect, "not-leader", "elsewhere").after_ms(7);
    let mut seeds: Vec<Vec<u8>> =
        settings.iter().map(|settings| [vec![255], settings.encode_to_vec()].concat()).collect();
    seeds.push([vec![255], v1::Error::from(error).encode_to_vec()].concat());
    // A string, a number, bytes and a nested message in the first fields: what most requests begin with.
    let typical = b"\x0a\x05topic\x10\x07\x1a\x03abc\x22\x02\x08\x01\x28\x01";
    seeds.extend((0..MESSAGES.len()).map(|choice| [&[choice as u8], &typical[..]].concat()));
    seeds
}
