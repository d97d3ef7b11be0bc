package email

import "fmt"

// SenderConfig names a provider and what it needs.
type SenderConfig struct {
	Provider              string // file, smtp or azure
	From                  string // the sender's address, with or without a name
	Dir                   string // file: where the mails go
	SMTPURL               string // smtp
	AzureConnectionString string // azure
}

// OpenSender gives the provider's sender. It opens no connection. The errors are one line and hold no secret.
func OpenSender(cfg SenderConfig) (Sender, error) {
	switch cfg.Provider {
	case "file":
		return NewFileSender(cfg.Dir, cfg.From)
	case "smtp":
		return NewSMTPSender(cfg.SMTPURL, cfg.From)
	case "azure":
		return NewAzureSender(cfg.AzureConnectionString, cfg.From)
	}
	return nil, fmt.Errorf("the mail provider %q is not one of file, smtp, azure", cfg.Provider)
}
