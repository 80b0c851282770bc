//! How policies are stored: as numbered settings, so that a later version can add one and still reads what this one
//! wrote.
//!
//! A struct's fields in a row have no names: one more field would make every row of an older version unreadable. A
//! number is given once and never again, with another meaning or type neither. What is not written is as if the setting
//! did not exist; what has an unknown number was written by a later version and is refused, since a promise that it
//! makes would not be kept.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A policy as it is stored: its settings by their numbers, rising. The value is postcard of the setting's type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings(Vec<(u16, Vec<u8>)>);

/// The settings of `$policy`. Those that are missing are as `default()` has them: a setting that is added must default
/// to what was the case before it existed. Those after `since` are written only when they are not the default, so that
/// a version that does not know them reads every policy that makes no use of them.
macro_rules! stored_as_settings {
    ($policy:ty {
        $($number:literal => $($field:ident).+),+ $(,)?
        $(; since $($later:literal => $($new:ident).+),+ $(,)?)?
    }) => {
        impl From<$policy> for $crate::settings::Settings {
            fn from(policy: $policy) -> Self {
                let mut settings = Self::default();
                $(settings.put($number, &policy.$($field).+);)+
                $(
                    let default = <$policy>::default();
                    $(if policy.$($new).+ != default.$($new).+ {
                        settings.put($later, &policy.$($new).+);
                    })+
                )?
                settings
            }
        }

        impl TryFrom<$crate::settings::Settings> for $policy {
            type Error = String;
            fn try_from(settings: $crate::settings::Settings) -> Result<Self, String> {
                let mut policy = Self::default();
                for (number, value) in settings.in_order()? {
                    match number {
                        $($number => policy.$($field).+ = $crate::settings::read(number, value)?,)+
                        $($($later => policy.$($new).+ = $crate::settings::read(number, value)?,)+)?
                        _ => return Err(format!("setting {number} was written by a later version")),
                    }
                }
                Ok(policy)
            }
        }
    };
}
pub(crate) use stored_as_settings;

impl Settings {
    pub(crate) fn put(&mut self, number: u16, value: &impl Serialize) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < number), "numbers rise");
        let value = postcard::to_allocvec(value).expect("writing to a vector cannot fail");
        self.0.push((number, value));
    }

    pub(crate) fn in_order(&self) -> Result<impl Iterator<Item = (u16, &[u8])>, String> {
        if let Some(pair) = self.0.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(format!("setting {} comes after setting {}", pair[1].0, pair[0].0));
        }
        Ok(self.0.iter().map(|(number, value)| (*number, value.as_slice())))
    }
}

pub(crate) fn read<T: DeserializeOwned>(number: u16, value: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(value) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("setting {number} has {} bytes too many", rest.len())),
        Err(error) => Err(format!("setting {number}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::{Backoff, QueuePolicy, StreamPolicy};

    fn bytes(settings: &[(u16, &[u8])]) -> Vec<u8> {
        let owned = settings.iter().map(|(number, value)| (*number, value.to_vec())).collect();
        postcard::to_allocvec(&Settings(owned)).unwrap()
    }

    #[test]
    fn a_policy_comes_back_as_it_was_stored() {
        let policy = QueuePolicy {
            fifo: true,
            ttl_ms: Some(5),
            backoff: Backoff { base_ms: 1, max_ms: 2 },
            ..QueuePolicy::default()
        };
        let stored = postcard::to_allocvec(&policy).unwrap();
        assert_eq!(postcard::from_bytes::<QueuePolicy>(&stored).unwrap(), policy);
    }

    #[test]
    fn a_setting_that_an_older_version_did_not_know_has_its_default() {
        let read: QueuePolicy = postcard::from_bytes(&bytes(&[(1, &[1])])).unwrap();
        assert_eq!(read, QueuePolicy { fifo: true, ..QueuePolicy::default() });
        assert_eq!(postcard::from_bytes::<StreamPolicy>(&bytes(&[])).unwrap(), StreamPolicy::default());
    }

    #[test]
    fn a_later_setting_is_written_only_when_it_is_used() {
        let numbers = |policy: &QueuePolicy| {
            let settings: Settings = policy.clone().into();
            settings.0.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
        };
        let policy = QueuePolicy { max_inflight_per_session: Some(3), ..QueuePolicy::default() };
        assert_eq!(numbers(&QueuePolicy::default()), (1..=10).collect::<Vec<_>>());
        assert_eq!(numbers(&policy), (1..=10).chain([12]).collect::<Vec<_>>());
        let stored = postcard::to_allocvec(&policy).unwrap();
        assert_eq!(postcard::from_bytes::<QueuePolicy>(&stored).unwrap(), policy);
    }

    #[test]
    fn a_setting_that_was_added_later_is_stored_when_it_is_set() {
        let mut policy = StreamPolicy::default();
        let before = postcard::to_allocvec(&policy).unwrap();
        policy.retention.groups = ["audit".to_owned(), "sum".to_owned()].into();
        let stored = postcard::to_allocvec(&policy).unwrap();
        assert_eq!(before[0], 2);
        assert_eq!(stored[1..before.len()], before[1..], "the others have their bytes");
        assert_eq!(stored[before.len()..], *b"\x03\x0b\x02\x05audit\x03sum");
        assert_eq!(postcard::from_bytes::<StreamPolicy>(&stored).unwrap(), policy);
    }

    #[test]
    fn settings_that_are_unknown_twice_there_or_damaged_are_refused() {
        let damaged: [&[(u16, &[u8])]; 5] = [
            &[(9_999, &[1])],
            &[(1, &[1]), (1, &[1])],
            &[(2, &[1]), (1, &[1])],
            &[(1, &[7])],
            &[(1, &[1, 0])],
        ];
        for settings in damaged {
            assert!(postcard::from_bytes::<QueuePolicy>(&bytes(settings)).is_err(), "{settings:?}");
        }
    }
}
