module github.com/sallyport-mcp/sallyport/examples

go 1.26.0

require github.com/sallyport-mcp/sallyport v0.0.0

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/lmittmann/tint v1.2.1 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace github.com/sallyport-mcp/sallyport => ../
