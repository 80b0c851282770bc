//! Links between topics.

use weir_proto::v1;
use weir_proto::v1::admin_client::AdminClient;
use weir_proto::v1::create_link_request::Start;
use weir_types::ErrorKind;

use super::Admin;
use super::types::{LinkInfo, LinkKind, ResetTo};
use crate::routing::Target;
use crate::{Error, Result};

impl Admin {
    /// Lets messages or records go from one topic to another by themselves, each exactly once, those of one key in their
    /// order. A link that is there already stays as it is. A subscription begins at `start`; other kinds take what waits.
    ///
    /// # Errors
    /// `NotFound` for a topic; `Invalid` for topics of the wrong kind, or when the link would close a cycle;
    /// `AlreadyExists` when the queue forwards, or has its dead letters moved, to another topic.
    pub async fn create_link(
        &self,
        kind: LinkKind,
        from: &str,
        to: &str,
        start: ResetTo,
    ) -> Result<LinkInfo> {
        let core = &self.client.core;
        let start = match start {
            ResetTo::Earliest => Start::Earliest(true),
            ResetTo::Latest => Start::Latest(true),
            ResetTo::Offset(offset) => Start::Offset(offset),
            ResetTo::TimeMs(time_ms) => Start::TimeMs(time_ms),
            ResetTo::Lag(records) => Start::Lag(records),
        };
        let (from, to) = (from.to_owned(), to.to_owned());
        let request = v1::CreateLinkRequest { kind: kind.to_wire() as i32, from, to, start: Some(start) };
        let call = core.operation(Target::Any, format!("link `{}` to `{}`", request.from, request.to));
        let answer = core
            .call(call, |channel| {
                let request = request.clone();
                async move { AdminClient::new(channel).create_link(request).await }
            })
            .await?;
        info(answer.link.unwrap_or_default())
    }

    /// Ends a link. What is on its way arrives all the same.
    ///
    /// # Errors
    /// `NotFound` for a topic, or when there is no such link.
    pub async fn delete_link(&self, kind: LinkKind, from: &str, to: &str) -> Result<()> {
        let core = &self.client.core;
        let (from, to) = (from.to_owned(), to.to_owned());
        let request = v1::DeleteLinkRequest { kind: kind.to_wire() as i32, from, to };
        let call = core.operation(Target::Any, format!("unlink `{}` from `{}`", request.from, request.to));
        let deleted = core.call(call, |channel| {
            let request = request.clone();
            async move { AdminClient::new(channel).delete_link(request).await }
        });
        deleted.await.map(|_| ())
    }

    /// All links, in order of creation.
    pub async fn list_links(&self) -> Result<Vec<LinkInfo>> {
        let core = &self.client.core;
        let listed = core.call(core.operation(Target::Any, "list links"), |channel| async move {
            AdminClient::new(channel).list_links(v1::ListLinksRequest {}).await
        });
        listed.await?.links.into_iter().map(info).collect()
    }
}

impl LinkKind {
    fn to_wire(self) -> v1::LinkKind {
        match self {
            Self::Forward => v1::LinkKind::Forward,
            Self::DeadLetter => v1::LinkKind::DeadLetter,
            Self::Subscription => v1::LinkKind::Subscription,
        }
    }
}

fn info(link: v1::Link) -> Result<LinkInfo> {
    let kind = match link.kind() {
        v1::LinkKind::Forward => LinkKind::Forward,
        v1::LinkKind::DeadLetter => LinkKind::DeadLetter,
        v1::LinkKind::Subscription => LinkKind::Subscription,
        v1::LinkKind::Unspecified => {
            let text = "a link of a kind that this client does not know";
            return Err(Error::new(ErrorKind::Internal, "answer-incomplete", text.to_owned()));
        }
    };
    Ok(LinkInfo { kind, from: link.from, to: link.to, created_at_ms: link.created_at_ms })
}
