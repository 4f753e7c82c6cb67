from __future__ import annotations

import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from airflow_mapping_kit.exceptions import StorageError
from airflow_mapping_kit.storage.buckets import s3_errors


def refused(operation):
    return ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)


def upload():
    try:
        raise refused("PutObject")
    except ClientError as error:
        raise S3UploadFailedError(f"Failed to upload: {error}")  # noqa: B904  as boto3 raises it


def test_a_refused_upload_fails_for_good_and_names_the_right_that_is_missing():
    said = "publish.*AccessDenied to PutObject.*role may PutObject there"
    with pytest.raises(StorageError, match=said), s3_errors("aws", "lake", "publish"):
        upload()


def test_a_refused_head_may_lack_the_right_to_list():
    with (
        pytest.raises(StorageError, match="may GetObject and ListBucket there"),
        s3_errors("aws", "lake", "look"),
    ):
        raise refused("HeadObject")
