module github.com/cdcd-project/cdcd/sdk/go

go 1.24
