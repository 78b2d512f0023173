//! One request to DynamoDB and its answer.
