//! How long a long history takes, and how much memory: makes one, reads it from its text, and judges it.
//!
//! `cargo run --release -p weir-checker --example measure -- 1000000 2`: operations, workers.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::{self, BufReader, BufWriter, Seek as _, Write as _};

use weir_checker::{
    Consumer, Delivery, Event, How, MessageId, Micros, Op, Options, Outcome, Phase, Process, Reader, Terms,
    Value, Writer, judge,
};

const PARTITIONS: u32 = 6;
const CLIENTS: u32 = 64;
/// Of a thousand operations, so many stay without an answer.
const UNHEARD_PER_MILLE: u64 = 2;

/// A queue and a stream that do as they should, under load.
struct Load {
    random: u64,
    now: Micros,
    writer: Writer<BufWriter<fs::File>>,
    written: u64,
    values: u64,
    /// Ready messages of each partition: id, payload, failed deliveries.
    ready: Vec<VecDeque<(u64, Value, u32)>>,
    ids: Vec<u64>,
    leases: Vec<u64>,
    /// What is under a lease: partition, the message, and the lease.
    leased: VecDeque<(u32, (u64, Value, u32), u64)>,
    /// Records of each partition of the stream, and how far they were read.
    offsets: Vec<(u64, u64, VecDeque<Value>)>,
}

impl Load {
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn note(&mut self, op: Op, outcome: Outcome) -> io::Result<()> {
        // Operations overlap: 64 clients, 5 ms each.
        let from = self.now.saturating_sub(self.below(5_000));
        self.now += 20;
        let to = (outcome != Outcome::Info).then_some(self.now);
        let process = Process(1 + self.below(u64::from(CLIENTS)) as u32);
        self.written += 1;
        self.writer.write(&Event { from, to, process, node: Some("n1".to_owned()), op, outcome, error: None })
    }

    fn value(&mut self) -> Value {
        self.values += 1;
        Value { producer: (self.values % 8) as u32, sequence: self.values / 8 }
    }

    fn heard(&mut self) -> Outcome {
        if self.below(1_000) < UNHEARD_PER_MILLE { Outcome::Info } else { Outcome::Ok }
    }

    fn enqueue(&mut self) -> io::Result<()> {
        let partition = self.below(u64::from(PARTITIONS)) as usize;
        let (value, outcome) = (self.value(), self.heard());
        self.ids[partition] += 1;
        let id = self.ids[partition];
        self.ready[partition].push_back((id, value, 0));
        let message = MessageId { partition: partition as u32, id };
        let at = (outcome == Outcome::Ok).then_some(message);
        self.note(Op::Enqueue { topic: "tasks".to_owned(), value, terms: Terms::default(), at }, outcome)
    }

    fn receive(&mut self) -> io::Result<()> {
        let partition = self.below(u64::from(PARTITIONS)) as usize;
        let consumer = Consumer(self.below(u64::from(CLIENTS)) as u32);
        let mut deliveries = Vec::new();
        for _ in 0..=self.below(4) {
            let Some(message) = self.ready[partition].pop_front() else { break };
            let (id, value, fails) = message;
            self.leases[partition] += 1;
            let lease = self.leases[partition];
            self.leased.push_back((partition as u32, message, lease));
            deliveries.push(Delivery {
                message: MessageId { partition: partition as u32, id },
                value: Some(value),
                lease,
                attempt: fails + 1,
                held: Some(30_000_000),
            });
        }
        self.note(Op::Receive { topic: "tasks".to_owned(), consumer, deliveries }, Outcome::Ok)
    }

    fn settle(&mut self) -> io::Result<()> {
        let Some((partition, (id, value, fails), lease)) = self.leased.pop_front() else { return Ok(()) };
        let outcome = self.heard();
        let how = if self.below(50) == 0 && fails < 10 { How::Nack } else { How::Ack };
        if how == How::Nack {
            self.ready[partition as usize].push_front((id, value, fails + 1));
        }
        let message = MessageId { partition, id };
        let consumer = Consumer(1);
        self.note(Op::Settle { topic: "tasks".to_owned(), consumer, message, lease, how }, outcome)
    }

    fn append(&mut self) -> io::Result<()> {
        let partition = self.below(u64::from(PARTITIONS)) as usize;
        let values = vec![self.value(), self.value()];
        let (next, _, records) = &mut self.offsets[partition];
        let at = Some((partition as u32, *next));
        *next += 2;
        records.extend(&values);
        self.note(Op::Append { topic: "events".to_owned(), values, key: None, at }, Outcome::Ok)
    }

    fn poll(&mut self) -> io::Result<()> {
        let partition = self.below(u64::from(PARTITIONS)) as usize;
        let (_, read, records) = &mut self.offsets[partition];
        let offset = *read;
        let records: Vec<_> = (offset..).zip(records.drain(..).map(Some)).collect();
        *read += records.len() as u64;
        let partition = partition as u32;
        let consumer = Consumer(1_000);
        let poll = Op::Poll { topic: "events".to_owned(), consumer, group: None, partition, offset, records };
        self.note(poll, Outcome::Ok)
    }

    fn step(&mut self) -> io::Result<()> {
        match self.below(10) {
            0..3 => self.enqueue(),
            3..5 => self.receive(),
            5..8 => self.settle(),
            8 => self.append(),
            _ => self.poll(),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>());
    let operations = arguments.next().transpose()?.unwrap_or(1_000_000);
    let workers = arguments.next().transpose()?.unwrap_or(2);
    let path = env::temp_dir().join(format!("history-{}.jsonl", std::process::id()));
    let file = fs::File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
    fs::remove_file(&path)?;
    let mut load = Load {
        random: 0x9e37_79b9_7f4a_7c15,
        now: 0,
        writer: Writer::new(BufWriter::new(file)),
        written: 0,
        values: 0,
        ready: vec![VecDeque::new(); PARTITIONS as usize],
        ids: vec![0; PARTITIONS as usize],
        leases: vec![0; PARTITIONS as usize],
        leased: VecDeque::new(),
        offsets: vec![(0, 0, VecDeque::new()); PARTITIONS as usize],
    };
    while load.written < operations {
        load.step()?;
    }
    for queue in 0..PARTITIONS as usize {
        while !load.ready[queue].is_empty() {
            load.receive()?;
        }
    }
    while !load.leased.is_empty() {
        load.settle()?;
    }
    load.note(Op::Phase(Phase::End), Outcome::Ok)?;
    let mut file = load.writer.into_inner().into_inner()?;
    file.flush()?;
    let bytes = file.stream_position()?;
    file.rewind()?;
    #[expect(clippy::disallowed_types, reason = "a measurement reads the clock")]
    let began = std::time::Instant::now();
    let report =
        judge(Reader::new(BufReader::with_capacity(1 << 20, file)), &Options::default(), workers as u32)?;
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status")?;
    let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    eprintln!(
        "{report}\n{} MB of text in {seconds:.1} s with {workers} workers; {memory}",
        bytes / 1_000_000
    );
    Ok(())
}
