locals {
  static_folder = "${path.root}/static"
  runs          = var.keep_data_only ? 0 : 1
}

module "plan" {
  source = "./modules/plan"

  cluster_file               = "${path.root}/../cluster.yaml"
  iam_user_name              = var.iam_user_name
  my_project_id              = var.my_project_id
  my_ssh_key                 = var.my_ssh_key
  static_folder              = local.static_folder
  credentials_file           = var.credentials_file
  zone                       = var.zone
  admin_cidr                 = var.admin_cidr
  worker_count               = var.worker_count
  control_plane_machine_type = var.control_plane_machine_type
  worker_machine_type        = var.worker_machine_type
  boot_disk_gb               = var.boot_disk_gb
  data_disk_gb               = var.data_disk_gb
  keep_data_only             = var.keep_data_only
  prices                     = var.prices
}

# An empty project has them switched off. Others may need them, so they stay on when we go.
resource "google_project_service" "needed" {
  for_each = toset(["compute.googleapis.com", "iam.googleapis.com"])

  service            = each.key
  disable_on_destroy = false
}

resource "google_compute_network" "cluster" {
  count = local.runs

  name                    = module.plan.names.network
  auto_create_subnetworks = false
  depends_on              = [google_project_service.needed]
}

resource "google_compute_subnetwork" "nodes" {
  count = local.runs

  name          = module.plan.names.subnet
  region        = module.plan.region
  network       = google_compute_network.cluster[0].id
  ip_cidr_range = module.plan.node_cidr
}

resource "google_compute_firewall" "allowed" {
  for_each = module.plan.rules

  name          = each.key
  description   = each.value.description
  network       = google_compute_network.cluster[0].id
  direction     = "INGRESS"
  source_ranges = each.value.sources
  target_tags   = each.value.targets

  dynamic "allow" {
    for_each = each.value.allow

    content {
      protocol = allow.value.protocol
      ports    = allow.value.ports
    }
  }
}

# No role is given to it: a node asks Google for nothing. Without it nodes would come with the project's default account,
# which may edit the whole project.
resource "google_service_account" "nodes" {
  count = local.runs

  account_id   = module.plan.names.service_account
  display_name = "Nodes of the cluster; no rights"
  depends_on   = [google_project_service.needed]
}

# Outlives the nodes: it is detached, not deleted, when they go.
resource "google_compute_disk" "data" {
  name       = module.plan.names.data_disk
  type       = "pd-balanced"
  size       = var.data_disk_gb
  zone       = var.zone
  depends_on = [google_project_service.needed]
}

resource "google_compute_address" "api" {
  count = var.static_address ? local.runs : 0

  name       = module.plan.names.address
  region     = module.plan.region
  depends_on = [google_project_service.needed]
}

resource "google_compute_instance" "node" {
  for_each = module.plan.nodes

  name                      = each.key
  machine_type              = each.value.machine_type
  zone                      = var.zone
  tags                      = each.value.tags
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = module.plan.boot_image
      size  = each.value.boot_disk_gb
      type  = "pd-balanced"
    }
  }

  dynamic "attached_disk" {
    for_each = each.value.role == "control_plane" ? [google_compute_disk.data.id] : []

    content {
      source      = attached_disk.value
      device_name = module.plan.data_device_name
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.nodes[0].id
    network_ip = each.value.address

    access_config {
      nat_ip = each.value.role == "control_plane" ? one(google_compute_address.api[*].address) : null
    }
  }

  metadata = {
    block-project-ssh-keys = "TRUE"
    enable-oslogin         = var.os_login ? "TRUE" : "FALSE"
    serial-port-enable     = "FALSE"
    ssh-keys               = var.os_login ? "" : module.plan.metadata_key
  }

  service_account {
    email  = google_service_account.nodes[0].email
    scopes = ["https://www.googleapis.com/auth/logging.write"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  lifecycle {
    # A newer image of the same release is no reason to make a node anew.
    ignore_changes = [boot_disk[0].initialize_params[0].image]
  }
}
