//! Conversions between wire types and `weir-types`.

use prost::Message as _;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use weir_types::{
    Backoff, Compaction, ErrorKind, ParkPolicy, QueuePolicy, Retention, StreamPolicy, TopicKind, TopicPolicy,
    WeirError,
};

use crate::v1;

/// Trailer of a failed call that carries the [`v1::Error`].
pub const ERROR_TRAILER: &str = "weir-error-bin";

const KINDS: [(ErrorKind, v1::ErrorKind, Code); 13] = [
    (ErrorKind::Retry, v1::ErrorKind::Retry, Code::Unavailable),
    (ErrorKind::Redirect, v1::ErrorKind::Redirect, Code::Unavailable),
    (ErrorKind::Invalid, v1::ErrorKind::Invalid, Code::InvalidArgument),
    (ErrorKind::NotFound, v1::ErrorKind::NotFound, Code::NotFound),
    (ErrorKind::AlreadyExists, v1::ErrorKind::AlreadyExists, Code::AlreadyExists),
    (ErrorKind::LeaseLost, v1::ErrorKind::LeaseLost, Code::FailedPrecondition),
    (ErrorKind::Fenced, v1::ErrorKind::Fenced, Code::FailedPrecondition),
    (ErrorKind::Throttled, v1::ErrorKind::Throttled, Code::ResourceExhausted),
    (ErrorKind::OutOfSpace, v1::ErrorKind::OutOfSpace, Code::ResourceExhausted),
    (ErrorKind::Unauthorized, v1::ErrorKind::Unauthorized, Code::PermissionDenied),
    (ErrorKind::OutcomeUnknown, v1::ErrorKind::OutcomeUnknown, Code::Unknown),
    (ErrorKind::Corrupt, v1::ErrorKind::Corrupt, Code::DataLoss),
    (ErrorKind::Internal, v1::ErrorKind::Internal, Code::Internal),
];

impl From<WeirError> for v1::Error {
    fn from(error: WeirError) -> Self {
        let (_, kind, _) = KINDS.iter().find(|(kind, ..)| *kind == error.kind).expect("every kind is listed");
        Self {
            kind: *kind as i32,
            code: error.code,
            message: error.message,
            retry_after_ms: error.retry_after_ms,
            leader: error.leader,
        }
    }
}

impl From<v1::Error> for WeirError {
    fn from(error: v1::Error) -> Self {
        let kind = KINDS.iter().find(|(_, wire, _)| *wire as i32 == error.kind);
        Self {
            kind: kind.map_or(ErrorKind::Internal, |(kind, ..)| *kind),
            code: error.code,
            message: error.message,
            retry_after_ms: error.retry_after_ms,
            leader: error.leader,
        }
    }
}

/// The failed call for an error: nearest standard code, message, and the whole error as a trailer.
pub fn error_to_status(error: WeirError) -> Status {
    let (.., code) = KINDS.iter().find(|(kind, ..)| *kind == error.kind).expect("every kind is listed");
    let mut status = Status::new(*code, error.to_string());
    let bytes = v1::Error::from(error).encode_to_vec();
    status.metadata_mut().insert_bin(ERROR_TRAILER, MetadataValue::from_bytes(&bytes));
    status
}

/// The error of a failed call. A status without our trailer comes from the transport: when the call may have
/// reached a node its outcome is unknown, so only the caller knows whether a retry is safe.
pub fn error_from_status(status: &Status) -> WeirError {
    let ours = status
        .metadata()
        .get_bin(ERROR_TRAILER)
        .and_then(|value| value.to_bytes().ok())
        .and_then(|bytes| v1::Error::decode(bytes).ok());
    if let Some(error) = ours {
        return error.into();
    }
    let kind = match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => ErrorKind::Invalid,
        Code::ResourceExhausted => ErrorKind::Throttled,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Unauthorized,
        _ => ErrorKind::OutcomeUnknown,
    };
    WeirError::new(kind, "transport", format!("{}: {}", status.code(), status.message()))
}

impl From<TopicKind> for v1::TopicKind {
    fn from(kind: TopicKind) -> Self {
        match kind {
            TopicKind::Queue => Self::Queue,
            TopicKind::Stream => Self::Stream,
        }
    }
}

impl v1::TopicKind {
    /// The kind, unless it was left unspecified.
    pub fn to_kind(self) -> Option<TopicKind> {
        match self {
            Self::Unspecified => None,
            Self::Queue => Some(TopicKind::Queue),
            Self::Stream => Some(TopicKind::Stream),
        }
    }
}

impl From<ParkPolicy> for v1::ParkPolicy {
    fn from(park: ParkPolicy) -> Self {
        match park {
            ParkPolicy::ParkMessage => Self::ParkMessage,
            ParkPolicy::ParkKey => Self::ParkKey,
            ParkPolicy::BlockKey => Self::BlockKey,
        }
    }
}

impl v1::QueueSettings {
    /// `policy` with what is set here changed.
    pub fn applied_to(&self, policy: &QueuePolicy) -> QueuePolicy {
        let bound =
            |set: Option<u32>, old: Option<u32>| set.map_or(old, |value| (value > 0).then_some(value));
        QueuePolicy {
            fifo: self.fifo.unwrap_or(policy.fifo),
            max_inflight_per_key: self.max_inflight_per_key.unwrap_or(policy.max_inflight_per_key),
            lease_ms: self.lease_ms.unwrap_or(policy.lease_ms),
            attempts_max: self.attempts_max.unwrap_or(policy.attempts_max),
            backoff: Backoff {
                base_ms: self.backoff_base_ms.unwrap_or(policy.backoff.base_ms),
                max_ms: self.backoff_max_ms.unwrap_or(policy.backoff.max_ms),
            },
            ttl_ms: self.ttl_ms.map_or(policy.ttl_ms, |ms| (ms > 0).then_some(ms)),
            park: match (self.park(), self.park_key) {
                (v1::ParkPolicy::Unspecified, None) => policy.park,
                (v1::ParkPolicy::ParkMessage, _) | (v1::ParkPolicy::Unspecified, Some(false)) => {
                    ParkPolicy::ParkMessage
                }
                (v1::ParkPolicy::ParkKey, _) | (v1::ParkPolicy::Unspecified, Some(true)) => {
                    ParkPolicy::ParkKey
                }
                (v1::ParkPolicy::BlockKey, _) => ParkPolicy::BlockKey,
            },
            bytes_max: self.bytes_max.unwrap_or(policy.bytes_max),
            messages_max: self.messages_max.unwrap_or(policy.messages_max),
            max_inflight: bound(self.max_inflight, policy.max_inflight),
            max_inflight_per_session: bound(self.max_inflight_per_session, policy.max_inflight_per_session),
            keep_ms: self.keep_ms.map_or(policy.keep_ms, |ms| (ms > 0).then_some(ms)),
            keep_bytes_max: self.keep_bytes_max.unwrap_or(policy.keep_bytes_max),
            fair_by: match &self.fair_by {
                Some(header) => Some(header.clone()).filter(|header| !header.is_empty()),
                None => policy.fair_by.clone(),
            },
        }
    }
}

impl v1::StreamSettings {
    /// `policy` with what is set here changed.
    pub fn applied_to(&self, policy: &StreamPolicy) -> StreamPolicy {
        let bound =
            |set: Option<u64>, old: Option<u64>| set.map_or(old, |value| (value > 0).then_some(value));
        StreamPolicy {
            retention: Retention {
                age_ms: bound(self.retention_ms, policy.retention.age_ms),
                bytes: bound(self.retention_bytes, policy.retention.bytes),
                groups: match &self.retention_groups {
                    Some(set) => set.names.iter().cloned().collect(),
                    None => policy.retention.groups.clone(),
                },
            },
            compaction: Compaction {
                enabled: self.compact.unwrap_or(policy.compaction.enabled),
                after_ms: self.compact_after_ms.unwrap_or(policy.compaction.after_ms),
                tombstone_ms: self.tombstone_ms.unwrap_or(policy.compaction.tombstone_ms),
            },
        }
    }
}

impl v1::TopicSettings {
    /// The policy of a new topic of a kind; none when these settings are of the other kind. A stream that is kept for
    /// named groups, or is compacted, keeps records of any age, unless an age is set too.
    pub fn of_new(&self, kind: TopicKind) -> Option<TopicPolicy> {
        let mut defaults = TopicPolicy::default_for(kind);
        if let (Some(v1::topic_settings::Kind::Stream(set)), TopicPolicy::Stream(policy)) =
            (&self.kind, &mut defaults)
            && (set.compact == Some(true)
                || set.retention_groups.as_ref().is_some_and(|groups| !groups.names.is_empty()))
        {
            policy.retention.age_ms = None;
        }
        self.applied_to(&defaults)
    }

    /// `policy` with what is set here changed; none when these settings are of the other kind.
    pub fn applied_to(&self, policy: &TopicPolicy) -> Option<TopicPolicy> {
        use v1::topic_settings::Kind;
        match (&self.kind, policy) {
            (None, policy) => Some(policy.clone()),
            (Some(Kind::Queue(set)), TopicPolicy::Queue(old)) => {
                Some(TopicPolicy::Queue(set.applied_to(old)))
            }
            (Some(Kind::Stream(set)), TopicPolicy::Stream(old)) => {
                Some(TopicPolicy::Stream(set.applied_to(old)))
            }
            _ => None,
        }
    }
}

impl From<&TopicPolicy> for v1::TopicSettings {
    fn from(policy: &TopicPolicy) -> Self {
        use v1::topic_settings::Kind;
        let kind = match policy {
            TopicPolicy::Queue(policy) => Kind::Queue(v1::QueueSettings {
                fifo: Some(policy.fifo),
                max_inflight_per_key: Some(policy.max_inflight_per_key),
                lease_ms: Some(policy.lease_ms),
                attempts_max: Some(policy.attempts_max),
                backoff_base_ms: Some(policy.backoff.base_ms),
                backoff_max_ms: Some(policy.backoff.max_ms),
                ttl_ms: Some(policy.ttl_ms.unwrap_or(0)),
                park_key: Some(policy.park.holds_key()),
                bytes_max: Some(policy.bytes_max),
                messages_max: Some(policy.messages_max),
                park: Some(v1::ParkPolicy::from(policy.park) as i32),
                max_inflight: Some(policy.max_inflight.unwrap_or(0)),
                max_inflight_per_session: Some(policy.max_inflight_per_session.unwrap_or(0)),
                keep_ms: Some(policy.keep_ms.unwrap_or(0)),
                keep_bytes_max: Some(policy.keep_bytes_max),
                fair_by: Some(policy.fair_by.clone().unwrap_or_default()),
            }),
            TopicPolicy::Stream(policy) => Kind::Stream(v1::StreamSettings {
                retention_ms: Some(policy.retention.age_ms.unwrap_or(0)),
                retention_bytes: Some(policy.retention.bytes.unwrap_or(0)),
                retention_groups: Some(v1::GroupNames {
                    names: policy.retention.groups.iter().cloned().collect(),
                }),
                compact: Some(policy.compaction.enabled),
                compact_after_ms: Some(policy.compaction.after_ms),
                tombstone_ms: Some(policy.compaction.tombstone_ms),
            }),
        };
        Self { kind: Some(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_a_status() {
        for (kind, ..) in KINDS {
            let error =
                WeirError::new(kind, "some-code", "3 is over 2").after_ms(7).at_leader(Some("a:1".into()));
            assert_eq!(error_from_status(&error_to_status(error.clone())), error);
        }
    }

    #[test]
    fn settings_change_only_what_is_set() {
        let policy = TopicPolicy::Queue(QueuePolicy { ttl_ms: Some(5), ..QueuePolicy::default() });
        let all = v1::TopicSettings::from(&policy);
        assert_eq!(all.applied_to(&TopicPolicy::Queue(QueuePolicy::default())), Some(policy.clone()));
        let none = v1::TopicSettings { kind: None };
        assert_eq!(none.applied_to(&policy), Some(policy));
    }

    #[test]
    fn a_queue_is_shared_by_a_header_until_an_empty_one_ends_it() {
        let set = |header: &str| v1::QueueSettings {
            fair_by: Some(header.to_owned()),
            ..v1::QueueSettings::default()
        };
        let shared = set("customer").applied_to(&QueuePolicy::default());
        assert_eq!(shared.fair_by.as_deref(), Some("customer"));
        assert_eq!(v1::QueueSettings::default().applied_to(&shared), shared);
        assert_eq!(set("").applied_to(&shared), QueuePolicy::default());
    }

    fn stream(settings: v1::StreamSettings) -> v1::TopicSettings {
        v1::TopicSettings { kind: Some(v1::topic_settings::Kind::Stream(settings)) }
    }

    #[test]
    fn a_new_stream_that_waits_for_groups_keeps_records_of_any_age_unless_one_is_set() {
        let groups = Some(v1::GroupNames { names: vec!["b".to_owned(), "a".to_owned(), "b".to_owned()] });
        let retention = |settings: &v1::TopicSettings| match settings.of_new(TopicKind::Stream) {
            Some(TopicPolicy::Stream(policy)) => policy.retention,
            other => panic!("{other:?}"),
        };
        let waiting = v1::StreamSettings { retention_groups: groups, ..v1::StreamSettings::default() };
        let found = retention(&stream(waiting.clone()));
        assert_eq!((found.age_ms, found.groups), (None, ["a".to_owned(), "b".to_owned()].into()));
        let aged = retention(&stream(v1::StreamSettings { retention_ms: Some(5), ..waiting.clone() }));
        assert_eq!((aged.age_ms, aged.groups.len()), (Some(5), 2));
        let none = v1::StreamSettings {
            retention_groups: Some(v1::GroupNames::default()),
            ..v1::StreamSettings::default()
        };
        assert_eq!(retention(&stream(none)), StreamPolicy::default().retention);
        let compacted = v1::StreamSettings { compact: Some(true), ..v1::StreamSettings::default() };
        assert_eq!(retention(&stream(compacted)).age_ms, None);
        assert_eq!(stream(waiting).of_new(TopicKind::Queue), None);
    }
}
