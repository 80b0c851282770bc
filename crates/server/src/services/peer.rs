//! Requests of other nodes.

use tonic::{Request, Response, Status};
use weir_proto::error_to_status;
use weir_proto::v1::peer_server::Peer;
use weir_proto::v1::{PeerRequest, PeerResponse};

use super::Services;

#[tonic::async_trait]
impl Peer for Services {
    async fn call(&self, request: Request<PeerRequest>) -> Result<Response<PeerResponse>, Status> {
        let answer = self.node.handle(request.into_inner().request).await.map_err(error_to_status)?;
        Ok(Response::new(PeerResponse { answer }))
    }
}
