//! The token of a lease: what a consumer hands back to settle a message.

use std::fmt;
use std::str::FromStr;

use crate::{GroupId, LeaseId, MessageId};

/// Names one grant of one message, and the partition that gave it, so that any client can bring a settle to the
/// right leader. Opaque to users; between Weir's own parts the text is `v1.<group>.<message>.<lease>`, each
/// number in decimal without leading zeros. A token proves nothing: the partition compares the lease id with the
/// message's current one.
///
/// ```
/// use weir_types::{GroupId, LeaseId, LeaseToken, MessageId};
///
/// let token = LeaseToken { group: GroupId(7), message: MessageId(42), lease: LeaseId(1001) };
/// assert_eq!(token.to_string(), "v1.7.42.1001");
/// assert_eq!("v1.7.42.1001".parse(), Ok(token));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseToken {
    /// The queue partition that leased the message.
    pub group: GroupId,
    /// The message.
    pub message: MessageId,
    /// The grant.
    pub lease: LeaseId,
}

/// Text that is no lease token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a lease token such as `v1.7.42.1001`")]
pub struct TokenError {
    /// What was read, cut to [`TokenError::TEXT_CHARS_MAX`] characters.
    pub text: String,
}

impl TokenError {
    /// How much of the text the error repeats.
    pub const TEXT_CHARS_MAX: usize = 80;
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.{}.{}.{}", self.group.0, self.message.0, self.lease.0)
    }
}

impl FromStr for LeaseToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        parse(text)
            .ok_or_else(|| TokenError { text: text.chars().take(TokenError::TEXT_CHARS_MAX).collect() })
    }
}

fn parse(text: &str) -> Option<LeaseToken> {
    let mut parts = text.split('.');
    if parts.next()? != "v1" {
        return None;
    }
    let group = GroupId(u32::try_from(number(parts.next()?)?).ok()?);
    let message = MessageId(number(parts.next()?)?);
    let lease = LeaseId(number(parts.next()?)?);
    parts.next().is_none().then_some(LeaseToken { group, message, lease })
}

/// A decimal number in its only spelling: `u64::from_str` alone would take `+7` and `007` as well, and two texts
/// would name one lease.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with(['0', '+']) && !text.is_empty());
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_no_token_is_refused_and_named() {
        let wrong = [
            "",
            "v1",
            "v1.1.2",
            "v1.1.2.3.4",
            "v2.1.2.3",
            "v1.1..3",
            "v1.01.2.3",
            "v1.1.+2.3",
            "v1.1.2.3 ",
            "v1.4294967296.2.3",
            "v1.1.2.18446744073709551616",
        ];
        for text in wrong {
            assert_eq!(text.parse::<LeaseToken>(), Err(TokenError { text: text.to_owned() }));
        }
    }

    #[test]
    fn an_endless_text_is_not_repeated_whole() {
        let error = "9".repeat(10_000).parse::<LeaseToken>().expect_err("no token");
        assert_eq!(error.text.len(), TokenError::TEXT_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn tokens_come_back(group: u32, message: u64, lease: u64) {
            let token = LeaseToken { group: GroupId(group), message: MessageId(message), lease: LeaseId(lease) };
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }
    }
}
