# The first three are yours: terraform.tfvars. What is valid is checked in modules/inputs, where tests reach it.

variable "iam_user_name" {
  description = "Name of the Linux user on the nodes that the ssh key belongs to."
  type        = string
}

variable "my_project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "my_ssh_key" {
  description = "Public ssh key: its text, or the name of a .pub file in static/."
  type        = string
}

variable "admin_cidr" {
  description = "From where ssh and the API server are reached. No default: start.sh fills in your own address with /32."
  type        = string
}

variable "zone" {
  description = "Zone of all nodes; Seoul is nearest to the exchange."
  type        = string
  default     = "asia-northeast3-a"
}

variable "worker_count" {
  description = "Workers beside the control-plane node."
  type        = number
  default     = 2
}

variable "control_plane_machine_type" {
  description = "4 cores and 4 GB by default."
  type        = string
  default     = "e2-highcpu-4"
}

variable "worker_machine_type" {
  description = "4 cores and 4 GB by default."
  type        = string
  default     = "e2-highcpu-4"
}

variable "boot_disk_gb" {
  description = "Of each node: system and images."
  type        = number
  default     = 30
}

variable "data_disk_gb" {
  description = "Of the disk that holds all data and outlives the nodes."
  type        = number
  default     = 100
}

variable "credentials_file" {
  description = "Key of the account that may change the project, in static/."
  type        = string
  default     = "credentials.json"
}

variable "ssh_private_key_file" {
  description = "Private key to my_ssh_key, in static/."
  type        = string
  default     = "ssh_key"
}

variable "static_address" {
  description = "Keep the public address of the API server when its node is made anew."
  type        = bool
  default     = false
}

variable "os_login" {
  description = "Let Google's OS Login say who may come by ssh, in place of my_ssh_key."
  type        = bool
  default     = false
}

variable "keep_data_only" {
  description = "Leave the data disk and nothing else: terminate.sh --keep-data."
  type        = bool
  default     = false
}

variable "prices" {
  description = "Prices of your own for the estimate: core_hour, memory_gb_hour, disk_gb_month, address_hour, in US dollars."
  type        = map(number)
  default     = {}
}
