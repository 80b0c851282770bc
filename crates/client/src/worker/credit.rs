//! How many messages a session may be given.

/// Messages that may be in hand, and how many of them the node was told.
#[derive(Debug)]
pub(crate) struct Credit {
    max: u32,
    /// Granted on the present connection and not used yet.
    granted: u32,
}

impl Credit {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, granted: 0 }
    }

    /// Another connection knows of no credit.
    pub(crate) fn reconnected(&mut self) {
        self.granted = 0;
    }

    /// A message came.
    pub(crate) fn used(&mut self) {
        self.granted = self.granted.saturating_sub(1);
    }

    /// What is worth granting now, with so many messages in hand: a quarter of the whole or more, or anything when the
    /// node has nothing left. The caller tells it with [`granted`](Self::granted) when it is on its way.
    pub(crate) fn worth_granting(&self, in_hand: usize) -> Option<u32> {
        let taken = self.granted.saturating_add(u32::try_from(in_hand).unwrap_or(u32::MAX));
        let free = self.max.saturating_sub(taken);
        (free > 0 && (self.granted == 0 || free >= self.max.div_ceil(4))).then_some(free)
    }

    pub(crate) fn granted(&mut self, credit: u32) {
        self.granted += credit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_granted_by_the_quarter_or_when_there_is_none() {
        let mut credit = Credit::new(16);
        assert_eq!(credit.worth_granting(0), Some(16));
        credit.granted(16);
        assert_eq!(credit.worth_granting(0), None);
        (0..6).for_each(|_| credit.used());
        assert_eq!(credit.worth_granting(6), None, "six in hand");
        assert_eq!(credit.worth_granting(3), None);
        assert_eq!(credit.worth_granting(2), Some(4));
        (0..10).for_each(|_| credit.used());
        assert_eq!(credit.worth_granting(15), Some(1));
        assert_eq!(credit.worth_granting(16), None);
    }

    #[test]
    fn a_credit_of_one_takes_message_by_message() {
        let mut credit = Credit::new(1);
        assert_eq!(credit.worth_granting(0), Some(1));
        credit.granted(1);
        credit.used();
        assert_eq!(credit.worth_granting(1), None);
        assert_eq!(credit.worth_granting(0), Some(1));
    }
}
