//! `weir cluster backup|restore`: all that a cluster holds, into a folder and out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File as Handle;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures::Stream;
use serde_json::json;
use tokio::time::sleep;
use weir_client::{Admin, BackupPlan, ImageReader, PlannedPartition, RestoreTarget};
use weir_types::{ErrorKind, WeirError};

use super::Connection;
use crate::backup::{Directory, File, Manifest, Order, Part, Partition, Progress, damaged};
use crate::failure::{Failure, Outcome};
use crate::output::{Done, Screen, bytes, count};

/// How often a partition is tried: while its leader is killed and another one comes, say.
const ATTEMPTS_MAX: u32 = 30;
/// How often images are taken once more that turned out to be older than those which they have to be younger than.
const ROUNDS: u32 = 2;
/// How often when some have to be of one moment, which those of partitions in use are only by chance.
const ROUNDS_WITH_PAIRS: u32 = 5;
/// Pause before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of an image that are sent at once.
const SEND_BYTES: usize = 256 << 10;

/// Copy all that the cluster holds into a folder, or check such a copy
#[derive(Debug, Args)]
#[command(after_help = "\
The cluster goes on meanwhile. All that was acknowledged before the backup began is in it; each partition is as it was at
one moment, and of what went from one partition to another nothing is missing and nothing is there twice. A second backup
into the same folder replaces the first one when it is whole, and copies only the partitions that have changed. One that
fails leaves the first one as it was. It fails when a partition is split or merged meanwhile: try again.

Examples:
  weir cluster backup /backups/orders
  weir cluster backup /backups/orders --verify     checks a backup, without a cluster")]
pub(super) struct Backup {
    /// The folder; made if it is not there
    directory: PathBuf,
    /// Only check that the backup there is what was written
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Bring a backup into a new cluster
#[derive(Debug, Args)]
#[command(after_help = "\
The cluster must be a new one: it never had a topic or a producer of its own. It needs as many nodes as a topic has replicas.
Topics, messages, positions of consumer groups and what producers have sent are as they were in the backup; its nodes are its
own. Every file is checked before anything is created, and topics are seen when all of them are whole. A restore that was
broken off can be begun again. Delays, TTLs and retention count the time since the backup: what ran out meanwhile is due at
once.

Examples:
  weir cluster restore /backups/orders --seeds 10.0.1.11:7400")]
pub(super) struct Restore {
    /// The folder that a backup was made into
    directory: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl Backup {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        if self.verify {
            let (directory, manifest) = Directory::open(&self.directory)?;
            verify(&directory, &manifest)?;
            let (files, total) = (manifest.files().count() as u64, total(&manifest));
            let text = format!("{} of {} are as they were written", count(files, "file"), bytes(total));
            let data = json!({ "cluster": manifest.cluster, "files": files, "bytes": total, "valid": true });
            return screen.show(&Done { text, data });
        }
        let directory = Directory::create(&self.directory)?;
        let before = directory.manifest()?;
        let admin = self.connection.admin().await?;
        let began_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        let plan = admin.plan_backup().await?;
        check_cluster(before.as_ref(), &plan)?;
        let kept = before.as_ref().map(Manifest::names).unwrap_or_default();
        directory.keep_only(&kept);
        let mut copy = Copy::new(&admin, &directory, before.as_ref(), &plan);
        let copied = copy.run(&plan, began_ms).await;
        copy.progress.finish();
        let manifest = match copied.and_then(|manifest| directory.seal(&manifest).map(|()| manifest)) {
            Ok(manifest) => manifest,
            Err(failure) => {
                directory.keep_only(&kept);
                return Err(failure);
            }
        };
        let (all, total, copied) = (manifest.partitions.len() as u64, total(&manifest), copy.copied);
        let kept = all - copied.len() as u64;
        let text = format!(
            "{} backed up, {} in all: {} copied, {kept} as they were",
            count(all, "partition"),
            bytes(total),
            copied.len()
        );
        let data = json!({
            "cluster": manifest.cluster, "partitions": all, "copied": copied.len(), "bytes": total,
            "began_ms": manifest.began_ms,
        });
        screen.show(&Done { text, data })
    }
}

/// A folder holds backups of one cluster.
fn check_cluster(before: Option<&Manifest>, plan: &BackupPlan) -> Outcome {
    match before.filter(|before| before.cluster != plan.cluster_id) {
        Some(other) => Err(Failure::usage(format!(
            "the folder holds a backup of cluster {}, this is cluster {}: name another one",
            other.cluster, plan.cluster_id
        ))),
        None => Ok(()),
    }
}

/// Nothing was split or merged since the first plan: the registry in the backup tells whose keys are whose.
fn check_unsplit(first: &BackupPlan, now: &BackupPlan) -> Outcome {
    match split_since(first, now) {
        Some(PlannedPartition { topic, .. }) => {
            let what = format!("a partition of `{topic}` was split or merged while it was copied: try again");
            Err(WeirError::new(ErrorKind::Retry, "reshape-in-progress", what).into())
        }
        None => Ok(()),
    }
}

/// A partition that is new in a topic of the first plan. Such a topic may also have been deleted and created anew.
fn split_since<'a>(first: &BackupPlan, now: &'a BackupPlan) -> Option<&'a PlannedPartition> {
    let known: BTreeSet<u32> = first.partitions.iter().map(|partition| partition.group_id).collect();
    let topics: BTreeSet<&str> = first.partitions.iter().map(|partition| partition.topic.as_str()).collect();
    let came = |partition: &&PlannedPartition| {
        !known.contains(&partition.group_id) && topics.contains(partition.topic.as_str())
    };
    now.partitions.iter().find(came)
}

fn total(manifest: &Manifest) -> u64 {
    manifest.files().map(|file| file.bytes).sum()
}

/// Checks every file of a backup: all that is wrong is in the message.
fn verify(directory: &Directory, manifest: &Manifest) -> Outcome {
    let wrong: Vec<String> = manifest.files().filter_map(|file| directory.check(file).err()).collect();
    match wrong.as_slice() {
        [] => Ok(()),
        [only] => Err(damaged(only.clone())),
        [first, rest @ ..] => Err(damaged(format!("{first}, and {} more files", rest.len()))),
    }
}

/// A backup that is being made.
struct Copy<'a> {
    admin: &'a Admin,
    directory: &'a Directory,
    /// What the folder has already, by group.
    before: BTreeMap<u32, &'a Partition>,
    order: Order,
    done: BTreeMap<u32, Partition>,
    /// The groups whose images were copied, and not kept.
    copied: BTreeSet<u32>,
    progress: Progress,
}

/// Why an image was not copied.
enum Broken {
    /// The cluster did not give it.
    Cluster(weir_client::Error),
    /// The folder did not take it.
    Folder(Failure),
}

impl From<weir_client::Error> for Broken {
    fn from(error: weir_client::Error) -> Self {
        Self::Cluster(error)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Folder(failure)
    }
}

impl<'a> Copy<'a> {
    fn new(
        admin: &'a Admin,
        directory: &'a Directory,
        before: Option<&'a Manifest>,
        plan: &BackupPlan,
    ) -> Self {
        let planned =
            plan.partitions.iter().map(|partition| (partition.group_id, partition.sends_to.as_slice()));
        let order = Order::new(planned);
        let before = before.into_iter().flat_map(|manifest| &manifest.partitions);
        Self {
            admin,
            directory,
            before: before.map(|partition| (partition.group, partition)).collect(),
            order,
            done: BTreeMap::new(),
            copied: BTreeSet::new(),
            progress: Progress::new("backed up", plan.partitions.len()),
        }
    }

    async fn run(&mut self, plan: &BackupPlan, began_ms: u64) -> Result<Manifest, Failure> {
        let planned: BTreeMap<u32, &PlannedPartition> =
            plan.partitions.iter().map(|partition| (partition.group_id, partition)).collect();
        // The images tell who sends to whom, so that some have to be taken once more, in an order that is known by then.
        for _ in 0..if self.order.has_pairs() { ROUNDS_WITH_PAIRS } else { ROUNDS } {
            for group in self.order.all() {
                if self.order.needs(group) {
                    self.partition(planned[&group]).await?;
                    self.progress.partition_done();
                }
            }
        }
        if let Some(PlannedPartition { topic, partition, .. }) =
            self.order.apart().map(|group| planned[&group])
        {
            let what = format!(
                "partition {partition} of `{topic}` was split or merged, and keys of it go on elsewhere so fast that it could \
                 not be copied as it was at one moment: try again when less of it is left"
            );
            return Err(WeirError::new(ErrorKind::Retry, "reshape-in-progress", what).into());
        }
        check_unsplit(plan, &self.admin.plan_backup().await?)?;
        let registry = self.directory.part(&format!("registry-{began_ms}"))?;
        let mut manifest = Manifest::new(plan.cluster_id.clone(), began_ms, whole(registry, &plan.registry)?);
        manifest.partitions = std::mem::take(&mut self.done).into_values().collect();
        Ok(manifest)
    }

    /// Takes the image of a partition, whoever leads it meanwhile.
    async fn partition(&mut self, planned: &PlannedPartition) -> Outcome {
        let mut attempt = 1;
        let partition = loop {
            match self.image(planned).await {
                Ok(partition) => break partition,
                Err(Broken::Folder(failure)) => return Err(failure),
                Err(Broken::Cluster(error)) if attempt < ATTEMPTS_MAX && !error.kind().is_final() => {
                    tracing::debug!(group = planned.group_id, %error, "an image did not come, and is asked for again");
                    attempt += 1;
                    sleep(PAUSE).await;
                }
                Err(Broken::Cluster(error)) => {
                    let PlannedPartition { topic, partition, .. } = planned;
                    return Err(Failure::from(error).after(format!("partition {partition} of `{topic}`")));
                }
            }
        };
        let group = planned.group_id;
        match self.done.insert(group, partition) {
            Some(before) if before.position() == self.done[&group].position() => self.order.unchanged(group),
            _ => self.order.taken(group),
        }
        Ok(())
    }

    async fn image(&mut self, planned: &PlannedPartition) -> Result<Partition, Broken> {
        let group = planned.group_id;
        let before = self.done.get(&group).or_else(|| self.before.get(&group).copied()).cloned();
        let before = before.filter(|before| self.directory.check(&before.file).is_ok());
        let known = before.as_ref().map(Partition::position);
        let mut image = self.admin.backup_partition(group, known).await?;
        self.order.sends(group, image.sends_to.iter().copied());
        if let Some(before) = before.filter(|_| image.known) {
            return Ok(before);
        }
        let partition = self.copy(planned, &mut image).await?;
        self.copied.insert(group);
        Ok(partition)
    }

    async fn copy(
        &mut self,
        planned: &PlannedPartition,
        image: &mut ImageReader,
    ) -> Result<Partition, Broken> {
        let PlannedPartition { group_id: group, topic, partition, .. } = planned;
        let (term, index) = (image.position.term, image.position.index);
        let mut part = self.directory.part(&format!("{topic}-{partition}-{group}-{term}-{index}"))?;
        while let Some(bytes) = image.next().await? {
            part.write(&bytes)?;
            self.progress.copied(bytes.len() as u64);
        }
        let (topic, number, group) = (topic.clone(), *partition, *group);
        Ok(Partition { topic, number, group, term, index, file: part.finish()? })
    }
}

fn whole(mut part: Part, bytes: &[u8]) -> Result<File, Failure> {
    part.write(bytes)?;
    part.finish()
}

impl Restore {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        let (directory, manifest) = Directory::open(&self.directory)?;
        verify(&directory, &manifest)?;
        let mut registry = Vec::new();
        let opened = directory.read(&manifest.registry);
        opened.and_then(|mut file| file.read_to_end(&mut registry))?;
        let admin = self.connection.admin().await?;
        let restore = admin.begin_restore(registry.into()).await?;
        let mut progress = Progress::new("restored", manifest.partitions.len());
        let images = Images { admin: &admin, directory: &directory, restore: restore.id };
        let restored = images.restore(&manifest, &restore.targets, &mut progress).await;
        progress.finish();
        if let Err(failure) = restored {
            return Err(match admin.abandon_restore(restore.id).await {
                Ok(()) => failure.after("nothing of it is left in the cluster"),
                Err(error) => failure.after(format!("and what there is of it was not removed: {error}")),
            });
        }
        let (all, total) = (manifest.partitions.len() as u64, total(&manifest));
        let text = format!("{} restored, {} in all", count(all, "partition"), bytes(total));
        let data = json!({ "backup_of": manifest.cluster, "partitions": all, "bytes": total });
        screen.show(&Done { text, data })
    }
}

/// A restore that is under way.
struct Images<'a> {
    admin: &'a Admin,
    directory: &'a Directory,
    restore: u64,
}

impl Images<'_> {
    async fn restore(
        &self,
        manifest: &Manifest,
        targets: &[RestoreTarget],
        progress: &mut Progress,
    ) -> Outcome {
        let images: BTreeMap<u32, &Partition> =
            manifest.partitions.iter().map(|partition| (partition.group, partition)).collect();
        let mut highest_epoch = 0;
        for target in targets {
            let group = target.group_id;
            let missing = || damaged(format!("it has no image of partition {group}"));
            let partition = *images.get(&group).ok_or_else(missing)?;
            highest_epoch = highest_epoch.max(self.partition(target, partition).await?);
            progress.copied(partition.file.bytes);
            progress.partition_done();
        }
        Ok(self.admin.finish_restore(self.restore, highest_epoch).await?)
    }

    /// Sends one image; the node that it goes to may be killed and come back meanwhile.
    async fn partition(&self, target: &RestoreTarget, partition: &Partition) -> Result<u64, Failure> {
        let mut attempt = 1;
        loop {
            let image = chunks(self.directory.read(&partition.file)?);
            let position = partition.position();
            match self.admin.restore_partition(self.restore, target, position, image).await {
                Ok(epoch) => return Ok(epoch),
                Err(error) if attempt < ATTEMPTS_MAX && may_be_repeated(&error) => {
                    tracing::debug!(group = target.group_id, %error, "an image did not arrive, and is sent again");
                    attempt += 1;
                    sleep(PAUSE).await;
                }
                Err(error) => {
                    let Partition { topic, number, .. } = partition;
                    return Err(Failure::from(error).after(format!("partition {number} of `{topic}`")));
                }
            }
        }
    }
}

/// Bytes that are damaged come the same again.
fn may_be_repeated(error: &weir_client::Error) -> bool {
    !error.kind().is_final() && error.code() != "backup-damaged"
}

/// A file, piece by piece. One that cannot be read any more ends early, which the cluster notices.
fn chunks(file: Handle) -> impl Stream<Item = Bytes> + Send + 'static {
    futures::stream::unfold(file, |mut file| async move {
        let mut chunk = vec![0; SEND_BYTES];
        let read = file.read(&mut chunk).ok().filter(|read| *read > 0)?;
        chunk.truncate(read);
        Some((Bytes::from(chunk), file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(partitions: &[(u32, &str)]) -> BackupPlan {
        let partition = |(group_id, topic): &(u32, &str)| PlannedPartition {
            group_id: *group_id,
            topic: (*topic).to_owned(),
            partition: 0,
            sends_to: Vec::new(),
        };
        let partitions = partitions.iter().map(partition).collect();
        BackupPlan { cluster_id: "ab".to_owned(), registry: Bytes::new(), partitions }
    }

    #[test]
    fn a_split_since_the_plan_is_noticed_and_no_other_change_is_taken_for_one() {
        let first = plan(&[(2, "events"), (3, "events"), (4, "orders")]);
        let since = |now: &[(u32, &str)]| {
            let now = plan(now);
            split_since(&first, &now).map(|partition| partition.group_id)
        };
        assert_eq!(
            since(&[(2, "events"), (3, "events"), (4, "orders"), (5, "events"), (6, "events")]),
            Some(5)
        );
        assert_eq!(since(&[(2, "events"), (3, "events"), (4, "orders")]), None);
        assert_eq!(since(&[(2, "events"), (3, "events"), (4, "orders"), (5, "new")]), None);
        assert_eq!(since(&[(4, "orders")]), None, "a topic was deleted");
        assert_eq!(since(&[(3, "events"), (4, "orders")]), None, "a sealed one was removed");
    }
}
