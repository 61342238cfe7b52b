package main

import (
	"context"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var whenever = context.Background()

// withAWS is the AWS SDK for Go, version 2, with its transfer manager.
type withAWS struct {
	client   *s3.Client
	transfer *transfermanager.Client
}

func newAWS(given settings) (agent, error) {
	client := s3.New(s3.Options{
		BaseEndpoint: &given.URL,
		Region:       "us-east-1",
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(given.AccessKey, given.SecretKey, ""),

		// The defaults of who loads a configuration.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
	transfer := transfermanager.New(client, func(options *transfermanager.Options) {
		options.PartSizeBytes = partSize
		options.MultipartUploadThreshold = partSize
	})
	return withAWS{client, transfer}, nil
}

func (one withAWS) makeBucket(bucket string) error {
	_, err := one.client.CreateBucket(whenever, &s3.CreateBucketInput{Bucket: &bucket})
	return err
}

func (one withAWS) buckets() ([]string, error) {
	listed, err := one.client.ListBuckets(whenever, &s3.ListBucketsInput{})
	if err != nil {
		return nil, err
	}
	found := []string{}
	for _, bucket := range listed.Buckets {
		found = append(found, *bucket.Name)
	}
	return found, nil
}

func (one withAWS) upload(path, bucket, key string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	input := transfermanager.UploadObjectInput{Bucket: &bucket, Key: &key, Body: file}
	_, err = one.transfer.UploadObject(whenever, &input)
	return err
}

func (one withAWS) uploadTree(folder, bucket, prefix string) error {
	prefix = strings.TrimSuffix(prefix, "/")
	_, err := one.transfer.UploadDirectory(whenever, &transfermanager.UploadDirectoryInput{
		Bucket: &bucket, Source: &folder, KeyPrefix: &prefix, Recursive: aws.Bool(true),
	})
	return err
}

func (one withAWS) downloadTree(bucket, prefix, folder string) error {
	_, err := one.transfer.DownloadDirectory(whenever, &transfermanager.DownloadDirectoryInput{
		Bucket: &bucket, Destination: &folder, KeyPrefix: &prefix,
	})
	return err
}

func (one withAWS) pages(bucket, prefix string, delimiter *string, see func(*s3.ListObjectsV2Output)) error {
	// Small pages, so that there are several.
	input := s3.ListObjectsV2Input{
		Bucket: &bucket, Prefix: &prefix, Delimiter: delimiter, MaxKeys: aws.Int32(33),
	}
	pages := s3.NewListObjectsV2Paginator(one.client, &input)
	for pages.HasMorePages() {
		page, err := pages.NextPage(whenever)
		if err != nil {
			return err
		}
		see(page)
	}
	return nil
}

func (one withAWS) listNames(bucket, prefix string) ([]string, error) {
	found := []string{}
	err := one.pages(bucket, prefix, aws.String("/"), func(page *s3.ListObjectsV2Output) {
		for _, each := range page.CommonPrefixes {
			found = append(found, *each.Prefix)
		}
		for _, each := range page.Contents {
			found = append(found, *each.Key)
		}
	})
	return found, err
}

func (one withAWS) copy(bucket, source, target string) error {
	from := bucket + "/" + url.QueryEscape(source)
	input := s3.CopyObjectInput{Bucket: &bucket, Key: &target, CopySource: &from}
	_, err := one.client.CopyObject(whenever, &input)
	return err
}

func (one withAWS) presign(bucket, key string) (string, error) {
	signer := s3.NewPresignClient(one.client, s3.WithPresignExpires(10*time.Minute))
	signed, err := signer.PresignGetObject(whenever, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", err
	}
	return signed.URL, nil
}

func (one withAWS) delete(bucket, key string) error {
	_, err := one.client.DeleteObject(whenever, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return err
}

func (one withAWS) empty(bucket string) error {
	var objects []types.ObjectIdentifier
	err := one.pages(bucket, "", nil, func(page *s3.ListObjectsV2Output) {
		for _, each := range page.Contents {
			objects = append(objects, types.ObjectIdentifier{Key: each.Key})
		}
	})
	if err != nil {
		return err
	}
	_, err = one.client.DeleteObjects(whenever, &s3.DeleteObjectsInput{
		Bucket: &bucket, Delete: &types.Delete{Objects: objects},
	})
	return err
}

func (one withAWS) removeBucket(bucket string) error {
	_, err := one.client.DeleteBucket(whenever, &s3.DeleteBucketInput{Bucket: &bucket})
	return err
}

func (one withAWS) put(bucket, key, text string, how options) (string, error) {
	input := s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: strings.NewReader(text),
		ChecksumAlgorithm: types.ChecksumAlgorithm(how.Checksum),
	}
	if how.IfMatch != "" {
		input.IfMatch = &how.IfMatch
	}
	if how.IfNoneMatch != "" {
		input.IfNoneMatch = &how.IfNoneMatch
	}
	output, err := one.client.PutObject(whenever, &input)
	if err != nil {
		return "", err
	}
	return *output.ETag, nil
}

func (one withAWS) get(bucket, key string) (string, error) {
	output, err := one.client.GetObject(whenever, &s3.GetObjectInput{
		Bucket: &bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return "", err
	}
	defer output.Body.Close()
	data, err := io.ReadAll(output.Body)
	return string(data), err
}
