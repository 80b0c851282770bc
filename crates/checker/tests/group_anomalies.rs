//! Every anomaly of consumer groups has a file of hand-made histories, `histories/groups/<anomaly>.txt`.

mod corpus;
#[path = "notation/streams.rs"]
mod notation;

use corpus::Corpus;
use weir_checker::GROUP_ANOMALIES;

const CORPUS: Corpus<'_> =
    Corpus { folder: "groups", anomalies: GROUP_ANOMALIES, notation: notation::history };

#[test]
fn bad_histories_show_their_anomaly_and_clean_ones_none() {
    CORPUS.judge();
}

#[test]
fn every_file_of_histories_belongs_to_an_anomaly_and_sentences_are_told_once() {
    CORPUS.is_in_order();
}
