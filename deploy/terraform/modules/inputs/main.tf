# What a person gives, checked before anything is asked of Google. Each message says what would be valid and how to get it.

terraform {
  required_version = ">= 1.9"
}

variable "iam_user_name" {
  description = "Name of the Linux user that the ssh key belongs to."
  type        = string

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,30}$", var.iam_user_name))
    error_message = "iam_user_name is no Linux user name; valid: a small letter first, then small letters, digits, _ or -, 31 at most, such as ubuntu. Of a mail address take what stands before the @, with _ for dots."
  }

  validation {
    condition     = !contains(["root", "daemon", "bin", "sys", "nobody"], var.iam_user_name)
    error_message = "iam_user_name is a user of the system itself; valid: a name of your own."
  }
}

variable "my_project_id" {
  description = "Id of the Google Cloud project, not its name or number."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.my_project_id))
    error_message = "my_project_id is no project id; valid: 6 to 30 small letters, digits and hyphens, a letter first, no hyphen last. `gcloud projects list` shows it in the column PROJECT_ID."
  }
}

variable "my_ssh_key" {
  description = "Public ssh key as one line of text, or the name of a file in static/ that holds it."
  type        = string

  validation {
    condition = (
      can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*( .*)?$", trimspace(var.my_ssh_key))) ||
      can(regex("^[A-Za-z0-9._-]+\\.pub$", var.my_ssh_key))
    )
    error_message = "my_ssh_key is no public key; valid: one line such as `ssh-ed25519 AAAA... me`, or the name of a file in static/ that ends in .pub. `ssh-keygen -t ed25519 -f static/ssh_key` makes a pair. A private key never belongs here."
  }

  validation {
    condition     = !can(regex("\\.pub$", var.my_ssh_key)) || fileexists("${var.static_folder}/${var.my_ssh_key}")
    error_message = "my_ssh_key names a file that is not in static/; valid: copy it there, or make a pair: `ssh-keygen -t ed25519 -f static/ssh_key`."
  }
}

variable "static_folder" {
  description = "Folder of keys and credentials, which is never committed."
  type        = string
}

variable "credentials_file" {
  description = "Name of the key of the account that may change the project, in static/."
  type        = string

  validation {
    condition     = fileexists("${var.static_folder}/${var.credentials_file}")
    error_message = "credentials_file is not in static/; valid: the JSON key of a service account. `gcloud iam service-accounts keys create static/credentials.json --iam-account=...` makes one (docs/operate/install.md)."
  }

  validation {
    condition     = !fileexists("${var.static_folder}/${var.credentials_file}") || try(jsondecode(file("${var.static_folder}/${var.credentials_file}")).type, "") == "service_account"
    error_message = "credentials_file holds no key of a service account; valid: JSON with \"type\": \"service_account\", as `gcloud iam service-accounts keys create` writes it."
  }

  validation {
    condition = !fileexists("${var.static_folder}/${var.credentials_file}") || try(
      jsondecode(file("${var.static_folder}/${var.credentials_file}")).project_id == var.my_project_id, true
    )
    error_message = "credentials_file belongs to another project than my_project_id; valid: a key of that project's service account, or the project id that stands in the file."
  }
}

variable "zone" {
  description = "Zone of all nodes."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", var.zone))
    error_message = "zone is no zone of Google's; valid: such as asia-northeast3-a. `gcloud compute zones list` shows them."
  }
}

locals {
  key_text = can(regex("\\.pub$", var.my_ssh_key)) ? file("${var.static_folder}/${var.my_ssh_key}") : var.my_ssh_key
}

output "public_key" {
  description = "The public key itself, one line."
  value       = trimspace(local.key_text)

  precondition {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*( [^\n]*)?$", trimspace(local.key_text)))
    error_message = "The file that my_ssh_key names holds no public key; valid: the .pub file of a pair that ssh-keygen made."
  }
}

output "metadata_key" {
  description = "What instance metadata wants: user and key."
  value       = "${var.iam_user_name}:${trimspace(local.key_text)}"
}

output "region" {
  value = replace(var.zone, "/-[a-z]$/", "")
}

output "credentials_path" {
  value = "${var.static_folder}/${var.credentials_file}"
}
