//! The checker's histories.

use weir_checker::{
    Consumer, Delivery, Event, How, MessageId, Op, Outcome, Process, Reader, Terms, Value, Writer,
};

/// Lines are events or errors with their number; the events of a history are written as the same history.
pub fn law(data: &[u8]) {
    let events: Vec<Event> = Reader::new(data).take(1_000).filter_map(Result::ok).collect();
    assert_eq!(read(&write(&events)), events);
}

fn write(events: &[Event]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for event in events {
        writer.write(event).expect("memory takes every write");
    }
    writer.into_inner()
}

fn read(bytes: &[u8]) -> Vec<Event> {
    Reader::new(bytes).collect::<Result<_, _>>().expect("what was written reads")
}

pub fn seeds() -> Vec<Vec<u8>> {
    let message = MessageId { partition: 1, id: 7 };
    let value = Value { producer: 3, sequence: 118 };
    let event = |op, outcome| Event {
        from: 100,
        to: Some(250),
        process: Process(4),
        node: Some("n1".to_owned()),
        op,
        outcome,
        error: None,
    };
    let topic = || "q".to_owned();
    let events = [
        event(Op::Enqueue { topic: topic(), value, terms: Terms::default(), at: Some(message) }, Outcome::Ok),
        event(
            Op::Receive { topic: topic(), consumer: Consumer(2), deliveries: Vec::<Delivery>::new() },
            Outcome::Fail,
        ),
        event(
            Op::Settle { topic: topic(), consumer: Consumer(2), message, lease: 9, how: How::Ack },
            Outcome::Info,
        ),
    ];
    events.iter().map(|event| write(std::slice::from_ref(event))).chain([write(&events)]).collect()
}
