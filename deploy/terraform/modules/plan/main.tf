# Everything that is decided before Google is asked for anything. No provider is needed: `terraform test` runs it whole.

terraform {
  required_version = ">= 1.9"
}

variable "cluster_file" {
  description = "deploy/cluster.yaml: what all parts of deploy agree on."
  type        = string
}

variable "iam_user_name" {
  type = string
}

variable "my_project_id" {
  type = string
}

variable "my_ssh_key" {
  type = string
}

variable "static_folder" {
  type = string
}

variable "credentials_file" {
  type = string
}

variable "zone" {
  type = string
}

variable "admin_cidr" {
  type = string
}

variable "worker_count" {
  type = number
}

variable "control_plane_machine_type" {
  type = string
}

variable "worker_machine_type" {
  type = string
}

variable "boot_disk_gb" {
  type = number
}

variable "data_disk_gb" {
  type = number

  validation {
    condition     = var.data_disk_gb >= 30 && var.data_disk_gb <= 10000
    error_message = "data_disk_gb is not enough, or more than is sensible; valid: 30 to 10000. docs/operate/size.md says what a month of your markets takes. A disk can grow later, never shrink."
  }
}

variable "keep_data_only" {
  description = "Leave the data disk and nothing else."
  type        = bool
}

variable "prices" {
  type = map(number)
}

locals {
  cluster = yamldecode(file(var.cluster_file))

  images = { bookworm = "debian-cloud/debian-12", trixie = "debian-cloud/debian-13" }
}

module "inputs" {
  source = "../inputs"

  iam_user_name    = var.iam_user_name
  my_project_id    = var.my_project_id
  my_ssh_key       = var.my_ssh_key
  static_folder    = var.static_folder
  credentials_file = var.credentials_file
  zone             = var.zone
}

module "naming" {
  source = "../naming"

  cluster_name = local.cluster.cluster_name
  worker_count = var.worker_count
}

module "network" {
  source = "../network"

  node_cidr    = local.cluster.node_cidr
  pod_cidr     = local.cluster.pod_cidr
  service_cidr = local.cluster.service_cidr
  worker_count = var.worker_count
}

module "firewall" {
  source = "../firewall"

  admin_cidr   = var.admin_cidr
  node_cidr    = local.cluster.node_cidr
  names        = module.naming.tags
  cluster_name = local.cluster.cluster_name
}

module "nodes" {
  source = "../nodes"

  control_plane              = module.naming.control_plane
  control_plane_address      = module.network.control_plane_address
  workers                    = module.naming.workers
  worker_addresses           = module.network.worker_addresses
  tags                       = module.naming.tags
  control_plane_machine_type = var.control_plane_machine_type
  worker_machine_type        = var.worker_machine_type
  boot_disk_gb               = var.boot_disk_gb
}

module "cost" {
  source = "../cost"

  region        = module.inputs.region
  machine_types = [for node in local.nodes : node.machine_type]
  boot_disk_gb  = var.boot_disk_gb
  data_disk_gb  = var.data_disk_gb
  addresses     = length(local.nodes)
  prices        = var.prices
}

locals {
  nodes = { for name, node in module.nodes.nodes : name => node if !var.keep_data_only }
}

output "nodes" {
  description = "Those that run."
  value       = local.nodes
}

output "rules" {
  value = { for name, rule in module.firewall.rules : name => rule if !var.keep_data_only }
}

output "names" {
  value = {
    network         = module.naming.network
    subnet          = module.naming.subnet
    service_account = module.naming.service_account
    data_disk       = module.naming.data_disk
    address         = module.naming.address
    control_plane   = module.naming.control_plane
  }
}

output "node_cidr" {
  value = local.cluster.node_cidr
}

output "region" {
  value = module.inputs.region
}

output "metadata_key" {
  value = module.inputs.metadata_key
}

output "credentials_path" {
  value = module.inputs.credentials_path
}

output "boot_image" {
  value = lookup(local.images, local.cluster.debian_release, "")

  precondition {
    condition     = contains(keys(local.images), local.cluster.debian_release)
    error_message = "debian_release in deploy/cluster.yaml is ${local.cluster.debian_release}; valid: ${join(", ", keys(local.images))}."
  }
}

output "data_device_name" {
  description = "Google puts google- before it, below /dev/disk/by-id."
  value       = trimprefix(basename(local.cluster.data_device), "google-")
}

output "cost" {
  value = module.cost.text
}

output "monthly_usd" {
  value = module.cost.monthly_usd
}
