// Package imagestore checks, cleans, keeps and serves pictures. It is one of the tools: it knows what a good
// picture is and where its bytes lie, in a directory, an S3 bucket or an Azure container, and hides the image codecs
// and the clients of those stores. It must not know what a picture belongs to, who may see it, the database or HTTP.
package imagestore
