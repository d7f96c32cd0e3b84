//! Trims every `DescribeInstances` answer on its way in ([`trim`](crate::ec2::trim)).

use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_ec2::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame};

use crate::ec2::trim::Trimmer;

/// Trims every `DescribeInstances` answer; others pass as they are.
#[derive(Debug)]
pub(super) struct TrimInstances;

impl Intercept for TrimInstances {
    fn name(&self) -> &'static str {
        "TrimInstances"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        // What went wrong, the SDK reads as it is.
        if !response.status().is_success() {
            return Ok(());
        }
        let body = response.take_body();
        *response.body_mut() = SdkBody::from_body_1_x(Trimmed { body, trimmer: Trimmer::default() });
        Ok(())
    }
}

struct Trimmed {
    body: SdkBody,
    trimmer: Trimmer,
}

impl Body for Trimmed {
    type Data = Bytes;
    type Error = <SdkBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        Pin::new(&mut this.body).poll_frame(context).map(|frame| match frame {
            Some(frame) => Some(frame.map(|frame| frame.map_data(|data| this.trimmer.trim(&data).into()))),
            None => this.trimmer.end().err().map(|cut| Err(cut.into())),
        })
    }
}
