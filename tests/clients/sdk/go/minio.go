package main

import (
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

var checksums = map[string]minio.ChecksumType{
	"CRC32":     minio.ChecksumCRC32,
	"CRC32C":    minio.ChecksumCRC32C,
	"CRC64NVME": minio.ChecksumCRC64NVME,
	"SHA1":      minio.ChecksumSHA1,
	"SHA256":    minio.ChecksumSHA256,
}

// withMinio is minio-go.
type withMinio struct {
	client *minio.Client
}

func newMinio(given settings) (agent, error) {
	parts, err := url.Parse(given.URL)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(parts.Host, &minio.Options{
		Creds:           credentials.NewStaticV4(given.AccessKey, given.SecretKey, ""),
		Secure:          parts.Scheme == "https",
		TrailingHeaders: true,
	})
	return withMinio{client}, err
}

func (one withMinio) makeBucket(bucket string) error {
	return one.client.MakeBucket(whenever, bucket, minio.MakeBucketOptions{})
}

func (one withMinio) buckets() ([]string, error) {
	listed, err := one.client.ListBuckets(whenever)
	found := []string{}
	for _, bucket := range listed {
		found = append(found, bucket.Name)
	}
	return found, err
}

func (one withMinio) upload(path, bucket, key string) error {
	how := minio.PutObjectOptions{PartSize: partSize}
	_, err := one.client.FPutObject(whenever, bucket, key, path, how)
	return err
}

func (one withMinio) uploadTree(folder, bucket, prefix string) error {
	names, err := files(folder)
	if err != nil {
		return err
	}
	return each(names, func(name string) error {
		return one.upload(filepath.Join(folder, name), bucket, prefix+name)
	})
}

func (one withMinio) keys(bucket, prefix string, recursive bool) ([]string, error) {
	found := []string{}
	// Small pages, so that there are several.
	how := minio.ListObjectsOptions{Prefix: prefix, Recursive: recursive, MaxKeys: 33}
	for object := range one.client.ListObjects(whenever, bucket, how) {
		if object.Err != nil {
			return nil, object.Err
		}
		found = append(found, object.Key)
	}
	return found, nil
}

func (one withMinio) downloadTree(bucket, prefix, folder string) error {
	keys, err := one.keys(bucket, prefix, true)
	if err != nil {
		return err
	}
	return each(keys, func(key string) error {
		path := filepath.Join(folder, strings.TrimPrefix(key, prefix))
		return one.client.FGetObject(whenever, bucket, key, path, minio.GetObjectOptions{})
	})
}

func (one withMinio) listNames(bucket, prefix string) ([]string, error) {
	return one.keys(bucket, prefix, false)
}

func (one withMinio) copy(bucket, source, target string) error {
	_, err := one.client.CopyObject(
		whenever,
		minio.CopyDestOptions{Bucket: bucket, Object: target},
		minio.CopySrcOptions{Bucket: bucket, Object: source},
	)
	return err
}

func (one withMinio) presign(bucket, key string) (string, error) {
	signed, err := one.client.PresignedGetObject(whenever, bucket, key, 10*time.Minute, nil)
	if err != nil {
		return "", err
	}
	return signed.String(), nil
}

func (one withMinio) delete(bucket, key string) error {
	return one.client.RemoveObject(whenever, bucket, key, minio.RemoveObjectOptions{})
}

func (one withMinio) empty(bucket string) error {
	objects := one.client.ListObjects(whenever, bucket, minio.ListObjectsOptions{Recursive: true})
	for failed := range one.client.RemoveObjects(whenever, bucket, objects, minio.RemoveObjectsOptions{}) {
		return failed.Err
	}
	return nil
}

func (one withMinio) removeBucket(bucket string) error {
	return one.client.RemoveBucket(whenever, bucket)
}

func (one withMinio) put(bucket, key, text string, how options) (string, error) {
	options := minio.PutObjectOptions{Checksum: checksums[how.Checksum]}
	if how.IfMatch != "" {
		options.SetMatchETag(strings.Trim(how.IfMatch, `"`))
	}
	if how.IfNoneMatch != "" {
		options.SetMatchETagExcept(how.IfNoneMatch)
	}
	put, err := one.client.PutObject(
		whenever, bucket, key, strings.NewReader(text), int64(len(text)), options,
	)
	return `"` + put.ETag + `"`, err
}

func (one withMinio) get(bucket, key string) (string, error) {
	object, err := one.client.GetObject(whenever, bucket, key, minio.GetObjectOptions{Checksum: true})
	if err != nil {
		return "", err
	}
	defer object.Close()
	data, err := io.ReadAll(object)
	return string(data), err
}
