//! Who campaigns: a pure function of what the voters said.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use weir_types::ReplicaId;

use crate::transport::{SurveyAnswer, WireVote};

/// What a voter does about a missing leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Too few voters miss the leader, or somebody leads.
    Wait,
    /// The leader is lost and this one is the designated candidate, at the given place in the order.
    Candidate {
        /// First in the order.
        first: ReplicaId,
        /// The asking replica's own place, 0 being the first.
        rank: u32,
    },
}

/// Decides for replica `us` from the answers of voters (its own among them). `configs` are the voter sets, two
/// while a membership change is under way: each needs a majority that misses the leader.
pub(crate) fn decide(us: ReplicaId, configs: &[BTreeSet<u64>], answers: &[SurveyAnswer]) -> Decision {
    let led = answers.iter().any(|answer| answer.leads);
    let lost: BTreeSet<u64> =
        answers.iter().filter(|answer| answer.lost).map(|answer| answer.replica.0).collect();
    let majority = |voters: &BTreeSet<u64>| voters.intersection(&lost).count() * 2 > voters.len();
    if led || configs.is_empty() || !configs.iter().all(majority) {
        return Decision::Wait;
    }
    let votes = |answer: &&SurveyAnswer| {
        answer.lost && configs.iter().any(|voters| voters.contains(&answer.replica.0))
    };
    let mut candidates: Vec<&SurveyAnswer> = answers.iter().filter(votes).collect();
    // The most complete log cannot be refused by anyone; among equals, one that is campaigning already, which is not ready
    // to begin any more; then one that may campaign past the leases.
    candidates.sort_by_key(|answer| {
        let campaigns = answer.vote.replica == answer.replica && !answer.vote.committed;
        let campaign = campaigns.then_some(answer.vote.term);
        (Reverse(answer.last_log), Reverse(campaign), Reverse(answer.ready), answer.replica)
    });
    let rank = candidates.iter().position(|answer| answer.replica == us);
    match (candidates.first(), rank) {
        (Some(first), Some(rank)) => Decision::Candidate { first: first.replica, rank: rank as u32 },
        _ => Decision::Wait,
    }
}

/// Whether a vote that this replica asked for cannot win any more: too few of the voters that answer have granted it or
/// still may. Others voted for themselves in its term, or are in a later one.
pub(crate) fn is_beaten(own: WireVote, configs: &[BTreeSet<u64>], answers: &[SurveyAnswer]) -> bool {
    let grants = |answer: &&SurveyAnswer| answer.vote == own || answer.vote.term < own.term;
    let granting: BTreeSet<u64> = answers.iter().filter(grants).map(|answer| answer.replica.0).collect();
    configs.iter().any(|voters| voters.intersection(&granting).count() * 2 <= voters.len())
}

#[cfg(test)]
mod tests {
    use weir_types::{GroupId, LogIndex, Term};

    use super::*;
    use crate::transport::WireLogId;

    fn answer(replica: u64, index: u64, lost: bool) -> SurveyAnswer {
        SurveyAnswer {
            group: GroupId(1),
            replica: ReplicaId(replica),
            vote: WireVote { term: Term(5), replica: ReplicaId(1), committed: true },
            last_log: Some(WireLogId { term: Term(5), index: LogIndex(index) }),
            leads: false,
            lost,
            ready: true,
        }
    }

    fn voters(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    #[test]
    fn a_single_witness_starts_no_election() {
        let answers = [answer(2, 9, true), answer(3, 9, false)];
        assert_eq!(decide(ReplicaId(2), &[voters(&[1, 2, 3])], &answers), Decision::Wait);
    }

    #[test]
    fn a_replica_that_leads_ends_the_matter() {
        let mut leader = answer(1, 9, false);
        leader.leads = true;
        let answers = [leader, answer(2, 9, true), answer(3, 9, true)];
        assert_eq!(decide(ReplicaId(2), &[voters(&[1, 2, 3])], &answers), Decision::Wait);
    }

    #[test]
    fn the_most_complete_log_goes_first_then_the_lowest_id() {
        let configs = [voters(&[1, 2, 3])];
        let longer = [answer(2, 8, true), answer(3, 9, true)];
        let first = ReplicaId(3);
        assert_eq!(decide(ReplicaId(2), &configs, &longer), Decision::Candidate { first, rank: 1 });
        assert_eq!(decide(ReplicaId(3), &configs, &longer), Decision::Candidate { first, rank: 0 });
        let equal = [answer(3, 9, true), answer(2, 9, true)];
        let first = ReplicaId(2);
        assert_eq!(decide(ReplicaId(2), &configs, &equal), Decision::Candidate { first, rank: 0 });
    }

    #[test]
    fn of_equal_logs_one_that_passes_the_leases_goes_first() {
        let mut restarted = answer(2, 9, true);
        restarted.ready = false;
        let answers = [restarted, answer(3, 9, true)];
        let decision = decide(ReplicaId(2), &[voters(&[1, 2, 3])], &answers);
        assert_eq!(decision, Decision::Candidate { first: ReplicaId(3), rank: 1 });
    }

    #[test]
    fn of_equal_logs_one_that_campaigns_already_goes_first() {
        let vote = WireVote { term: Term(6), replica: ReplicaId(3), committed: false };
        let campaigning = SurveyAnswer { vote, ready: false, ..answer(3, 9, true) };
        // Replica 1 has given it its vote; it does not campaign.
        let granting = SurveyAnswer { vote, ..answer(1, 9, true) };
        let decision =
            decide(ReplicaId(2), &[voters(&[1, 2, 3])], &[granting, answer(2, 9, true), campaigning]);
        assert_eq!(decision, Decision::Candidate { first: ReplicaId(3), rank: 2 });
    }

    #[test]
    fn a_vote_is_beaten_when_the_others_have_voted_in_its_term() {
        let configs = [voters(&[1, 2, 3])];
        let asked =
            |term, replica| WireVote { term: Term(term), replica: ReplicaId(replica), committed: false };
        let voted = |replica, vote| SurveyAnswer { vote, ..answer(replica, 9, true) };
        let own = asked(6, 3);
        let mine = voted(3, own);
        assert!(is_beaten(own, &configs, &[mine, voted(2, asked(6, 2))]), "for itself");
        assert!(is_beaten(own, &configs, &[mine, voted(2, asked(7, 2))]), "later");
        assert!(!is_beaten(own, &configs, &[mine, voted(2, own)]), "granted");
        assert!(!is_beaten(own, &configs, &[mine, answer(2, 9, true)]), "not asked yet");
    }

    #[test]
    fn a_change_of_members_needs_both_majorities() {
        let answers = [answer(2, 9, true), answer(3, 9, true)];
        let configs = [voters(&[1, 2, 3]), voters(&[3, 4, 5])];
        assert_eq!(decide(ReplicaId(2), &configs, &answers), Decision::Wait);
    }
}
